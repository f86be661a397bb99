//! Is there a driver that wgpu can use, and how to get one where there is none.
//!
//! macOS and Windows bring Metal and DirectX 12. Elsewhere a Vulkan driver announces itself by a manifest, a small JSON
//! file that names its library; it counts if that library and the Vulkan loader are there.

use std::path::{Path, PathBuf};

use crate::apt;
use crate::steps::Failure;

/// Debian's names of Mesa's software driver and of the loader.
const PACKAGES: [&str; 2] = ["mesa-vulkan-drivers", "libvulkan1"];

/// Where libraries lie on the common distributions.
const LIBRARY_FOLDERS: [&str; 9] = [
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/lib/x86_64-linux-gnu",
    "/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/usr/local/lib",
    "/usr/local/lib64",
    "/run/opengl-driver/lib",
];

/// Makes sure that there is a driver, or says what to do.
pub fn ensure_adapter() -> Result<(), Failure> {
    if cfg!(any(target_os = "macos", target_os = "windows")) || find_driver(&Places::of_this_machine()).is_some() {
        return Ok(());
    }
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    match advice(&release) {
        Advice::Apt => {
            println!("No Vulkan driver was found on this machine.");
            apt::install("Mesa's software driver", &PACKAGES)
                .map_err(|failure| Failure::no_adapter(failure.to_string()))?;
        }
        Advice::Say(command) => {
            return Err(Failure::no_adapter(format!("no Vulkan driver was found; install one with: {command}")));
        }
    }
    let driver = find_driver(&Places::of_this_machine()).ok_or_else(|| {
        Failure::no_adapter(format!("{} are installed, but no Vulkan driver was found", PACKAGES.join(" and ")))
    })?;
    println!("A software Vulkan driver is installed now ({}): predsim runs on the CPU.", driver.display());
    Ok(())
}

/// What helps on a distribution.
#[derive(Debug, PartialEq, Eq)]
enum Advice {
    /// We can do it ourselves.
    Apt,
    /// The command to run.
    Say(&'static str),
}

/// Chooses by `ID` and `ID_LIKE` of /etc/os-release.
fn advice(os_release: &str) -> Advice {
    let value = |key: &str| {
        let line = os_release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.unwrap_or("").trim_matches('"').to_lowercase()
    };
    let names = format!("{} {}", value("ID"), value("ID_LIKE"));
    let is = |name: &str| names.split_whitespace().any(|word| word.starts_with(name));
    if is("debian") || is("ubuntu") {
        Advice::Apt
    } else if is("fedora") || is("rhel") || is("centos") {
        Advice::Say("sudo dnf install mesa-vulkan-drivers vulkan-loader")
    } else if is("arch") {
        Advice::Say("sudo pacman -S vulkan-swrast vulkan-icd-loader")
    } else if is("alpine") {
        Advice::Say("sudo apk add mesa-vulkan-swrast vulkan-loader")
    } else if is("opensuse") || is("suse") {
        Advice::Say("sudo zypper install libvulkan_lvp libvulkan1")
    } else if is("nixos") {
        Advice::Say("hardware.graphics.enable = true; in configuration.nix, then nixos-rebuild switch")
    } else {
        Advice::Say("your system's packages of the Vulkan loader and of Mesa's lavapipe driver")
    }
}

/// Where to look.
#[derive(Debug)]
struct Places {
    /// Folders of libraries.
    libraries: Vec<PathBuf>,
    /// Folders of driver manifests, or manifests themselves.
    manifests: Vec<PathBuf>,
}

impl Places {
    fn of_this_machine() -> Self {
        let list = |name: &str| -> Vec<PathBuf> {
            std::env::var_os(name).map(|value| std::env::split_paths(&value).collect()).unwrap_or_default()
        };
        let mut libraries = list("LD_LIBRARY_PATH");
        libraries.extend(LIBRARY_FOLDERS.map(PathBuf::from));
        // The loader looks at nothing else where one of these names the drivers.
        let mut manifests = [list("VK_DRIVER_FILES"), list("VK_ICD_FILENAMES")].concat();
        if manifests.is_empty() {
            let mut data = list("XDG_DATA_DIRS");
            data.extend(["/usr/share", "/usr/local/share", "/etc", "/run/opengl-driver/share"].map(PathBuf::from));
            data.extend(std::env::home_dir().map(|home| home.join(".local/share")));
            manifests = data.iter().map(|folder| folder.join("vulkan/icd.d")).collect();
        }
        Self { libraries, manifests }
    }
}

/// The first manifest whose library exists, if the loader does too.
fn find_driver(places: &Places) -> Option<PathBuf> {
    find_library(places, "libvulkan.so.1")?;
    let manifests = places.manifests.iter().flat_map(|path| {
        let folder: Vec<PathBuf> = std::fs::read_dir(path)
            .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
            .unwrap_or_default();
        if path.is_file() { vec![path.clone()] } else { folder }
    });
    let mut usable =
        manifests.filter(|manifest| manifest.extension().is_some_and(|e| e == "json")).filter(|manifest| {
            let text = std::fs::read_to_string(manifest).unwrap_or_default();
            library_path(&text).is_some_and(|library| find_library_of(places, manifest, library).is_some())
        });
    usable.next()
}

/// `"library_path"` of a manifest. Paths in manifests hold no escapes, so no JSON reader is needed for one string.
fn library_path(manifest: &str) -> Option<&str> {
    let (_, rest) = manifest.split_once("\"library_path\"")?;
    let (_, rest) = rest.split_once(':')?;
    let (_, rest) = rest.split_once('"')?;
    rest.split_once('"').map(|(path, _)| path)
}

/// A manifest's library is absolute, relative to the manifest, or a bare name for the loader to find.
fn find_library_of(places: &Places, manifest: &Path, library: &str) -> Option<PathBuf> {
    if !library.contains('/') {
        return find_library(places, library);
    }
    let path = manifest.parent()?.join(library);
    path.exists().then_some(path)
}

fn find_library(places: &Places, name: &str) -> Option<PathBuf> {
    places.libraries.iter().map(|folder| folder.join(name)).find(|path| path.exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A made machine: a folder of its own, gone when the test is over.
    struct Machine(PathBuf);

    impl Machine {
        fn new(name: &str) -> Self {
            let root = std::env::temp_dir().join(format!("xtask-{}-{name}", std::process::id()));
            std::fs::create_dir_all(root.join("lib")).unwrap();
            std::fs::create_dir_all(root.join("icd.d")).unwrap();
            Self(root)
        }

        fn with(self, path: &str, content: &str) -> Self {
            std::fs::write(self.0.join(path), content).unwrap();
            self
        }

        fn driver(&self) -> Option<PathBuf> {
            find_driver(&Places { libraries: vec![self.0.join("lib")], manifests: vec![self.0.join("icd.d")] })
        }
    }

    impl Drop for Machine {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    const MANIFEST: &str = r#"{"ICD": {"api_version": "1.3.0", "library_path": "libvulkan_lvp.so"}}"#;

    #[test]
    fn a_driver_is_loader_manifest_and_library_together() {
        let all = Machine::new("all").with("lib/libvulkan.so.1", "").with("lib/libvulkan_lvp.so", "");
        assert_eq!(all.driver(), None);
        let all = all.with("icd.d/lvp.json", MANIFEST);
        assert_eq!(all.driver(), Some(all.0.join("icd.d/lvp.json")));
        let no_loader = Machine::new("no-loader").with("lib/libvulkan_lvp.so", "").with("icd.d/lvp.json", MANIFEST);
        assert_eq!(no_loader.driver(), None);
        let no_library = Machine::new("no-library").with("lib/libvulkan.so.1", "").with("icd.d/lvp.json", MANIFEST);
        assert_eq!(no_library.driver(), None);
    }

    #[test]
    fn libraries_may_be_named_by_path() {
        let machine = Machine::new("path").with("lib/libvulkan.so.1", "").with("lib/d.so", "");
        let relative = machine.with("icd.d/d.json", r#"{"ICD":{"library_path" : "../lib/d.so"}}"#);
        assert!(relative.driver().is_some());
        let absent = relative.with("icd.d/d.json", r#"{"ICD":{"library_path" : "/nowhere/d.so"}}"#);
        assert_eq!(absent.driver(), None);
    }

    #[test]
    fn each_distribution_gets_its_own_advice() {
        assert_eq!(advice("PRETTY_NAME=\"Debian\"\nID=debian\n"), Advice::Apt);
        assert_eq!(advice("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n"), Advice::Apt);
        for (release, word) in [
            ("ID=fedora", "dnf"),
            ("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"", "dnf"),
            ("ID=arch", "pacman"),
            ("ID=alpine", "apk"),
            ("ID=\"opensuse-leap\"", "zypper"),
            ("ID=nixos", "nixos-rebuild"),
            ("", "lavapipe"),
        ] {
            let Advice::Say(command) = advice(release) else { panic!("{release}: not by apt") };
            assert!(command.contains(word), "{release}: {command}");
        }
    }
}
