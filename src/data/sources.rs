//! Where the official files of each data set are published, and their MD5 sums.
//!
//! Addresses and sums are those of torchvision (`torchvision/datasets/{mnist,svhn,stl10}.py`); of the CIFARs, of which
//! it reads the Python version, those of their own page (<https://www.cs.toronto.edu/~kriz/cifar.html>), for the binary
//! version. The sums of MNIST's unpacked files are of the official ones, so that a copy that someone has packed anew is
//! known too.

/// Where a data set is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// What the address of each file begins with, without the last slash.
    pub base: &'static str,
    /// Its files.
    pub files: &'static [Remote],
}

/// A published file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remote {
    /// Its name.
    pub file: &'static str,
    /// Its sum.
    pub md5: &'static str,
    /// What it is.
    pub form: Form,
}

/// How a file is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As it is read, gzipped or not.
    Plain {
        /// Sum of the file without gzip, where it is known.
        unpacked: Option<&'static str>,
    },
    /// In a gzipped tar archive with these files that are read, among others that are not.
    Archive(&'static [Member]),
}

/// A file in an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Its name without folders.
    pub file: &'static str,
    /// Its sum, where it is published.
    pub md5: Option<&'static str>,
}

const fn plain(file: &'static str, md5: &'static str) -> Remote {
    Remote { file, md5, form: Form::Plain { unpacked: None } }
}

const fn known(file: &'static str, md5: &'static str, unpacked: &'static str) -> Remote {
    Remote { file, md5, form: Form::Plain { unpacked: Some(unpacked) } }
}

const fn member(file: &'static str) -> Member {
    Member { file, md5: None }
}

const MNIST: Source = Source {
    base: "https://ossci-datasets.s3.amazonaws.com/mnist",
    files: &[
        known("train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873", "6bbc9ace898e44ae57da46a324031adb"),
        known("train-labels-idx1-ubyte.gz", "d53e105ee54ea40749a09fcbcd1e9432", "a25bea736e30d166cdddb491f175f624"),
        known("t10k-images-idx3-ubyte.gz", "9fb629c4189551a2d022fa330f9573f3", "2646ac647ad5339dbf082846283269ea"),
        known("t10k-labels-idx1-ubyte.gz", "ec29112dd5afa0611ce80d1b7f02629c", "27ae3e4e09519cfbb04c329615203637"),
    ],
};

const FASHION_MNIST: Source = Source {
    base: "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
    files: &[
        plain("train-images-idx3-ubyte.gz", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
        plain("train-labels-idx1-ubyte.gz", "25c81989df183df01b3e8a0aad5dffbe"),
        plain("t10k-images-idx3-ubyte.gz", "bef4ecab320f06d8554ea6380940ec79"),
        plain("t10k-labels-idx1-ubyte.gz", "bb300cfdad3c16e7a12a480ee83cd310"),
    ],
};

const KMNIST: Source = Source {
    base: "http://codh.rois.ac.jp/kmnist/dataset/kmnist",
    files: &[
        plain("train-images-idx3-ubyte.gz", "bdb82020997e1d708af4cf47b453dcf7"),
        plain("train-labels-idx1-ubyte.gz", "e144d726b3acfaa3e44228e80efcd344"),
        plain("t10k-images-idx3-ubyte.gz", "5c965bf0a639b31b8f53240b1b52f4d7"),
        plain("t10k-labels-idx1-ubyte.gz", "7320c461ea6c1c855c0b718fb2a4b134"),
    ],
};

const CIFAR10: Source = Source {
    base: "https://www.cs.toronto.edu/~kriz",
    files: &[Remote {
        file: "cifar-10-binary.tar.gz",
        md5: "c32a1d4ab5d03f1284b67883e8d87530",
        form: Form::Archive(&[
            member("data_batch_1.bin"),
            member("data_batch_2.bin"),
            member("data_batch_3.bin"),
            member("data_batch_4.bin"),
            member("data_batch_5.bin"),
            member("test_batch.bin"),
        ]),
    }],
};

const CIFAR100: Source = Source {
    base: "https://www.cs.toronto.edu/~kriz",
    files: &[Remote {
        file: "cifar-100-binary.tar.gz",
        md5: "03b5dce01913d631647c71ecec9e9cb8",
        form: Form::Archive(&[member("train.bin"), member("test.bin")]),
    }],
};

const SVHN: Source = Source {
    base: "http://ufldl.stanford.edu/housenumbers",
    files: &[
        plain("train_32x32.mat", "e26dedcc434d2e4c54c9b2d4a06d8373"),
        plain("test_32x32.mat", "eb5a983be6a315427106f1b164d9cef3"),
        plain("extra_32x32.mat", "a93ce644f1a588dc4d68dda5feec44a7"),
    ],
};

const STL10: Source = Source {
    base: "http://ai.stanford.edu/~acoates/stl10",
    files: &[Remote {
        file: "stl10_binary.tar.gz",
        md5: "91f7769df0f17e558f3565bffb0c7dfb",
        form: Form::Archive(&[
            Member { file: "train_X.bin", md5: Some("918c2871b30a85fa023e0c44e0bee87f") },
            Member { file: "train_y.bin", md5: Some("5a34089d4802c674881badbb80307741") },
            Member { file: "test_X.bin", md5: Some("7f263ba9f9e0b06b93213547f721ac82") },
            Member { file: "test_y.bin", md5: Some("36f9794fa4beb8a2c72628de14fa638e") },
        ]),
    }],
};

/// Where data set `name` is published; `None` if it is embedded, the user's own, or not given to everyone.
pub fn source(name: &str) -> Option<&'static Source> {
    match name {
        "mnist" => Some(&MNIST),
        "fashion-mnist" => Some(&FASHION_MNIST),
        "kmnist" => Some(&KMNIST),
        "cifar10" => Some(&CIFAR10),
        "cifar100" => Some(&CIFAR100),
        "svhn" => Some(&SVHN),
        "stl10" => Some(&STL10),
        _ => None,
    }
}

impl Source {
    /// The sums that a file of this name may have as it is.
    pub fn published(&self, file: &str) -> impl Iterator<Item = &'static str> {
        let of_file = self.files.iter().filter(move |remote| remote.file == file).map(|remote| remote.md5);
        let of_member = self.members().filter(move |member| member.file == file).filter_map(|member| member.md5);
        of_file.chain(of_member)
    }

    /// The sum of the content of the file of this name, gzipped or not.
    pub fn content(&self, file: &str) -> Option<&'static str> {
        let stem = |name: &'static str| name.strip_suffix(".gz").unwrap_or(name);
        let wanted = file.strip_suffix(".gz").unwrap_or(file);
        self.files.iter().find_map(|remote| match remote.form {
            Form::Plain { unpacked } if stem(remote.file) == wanted => unpacked,
            _ => None,
        })
    }

    fn members(&self) -> impl Iterator<Item = &'static Member> {
        self.files.iter().flat_map(|remote| match remote.form {
            Form::Archive(members) => members,
            Form::Plain { .. } => &[],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::registry::{files, names};

    #[test]
    fn every_file_that_is_read_is_published() {
        for name in names().filter(|name| source(name).is_some()) {
            let source = source(name).unwrap();
            let mut published: Vec<&str> = source
                .files
                .iter()
                .filter(|remote| matches!(remote.form, Form::Plain { .. }))
                .map(|remote| remote.file.trim_end_matches(".gz"))
                .chain(source.members().map(|member| member.file))
                .collect();
            let mut read: Vec<&str> = files(name).unwrap().iter().map(|file| file.name).collect();
            published.sort_unstable();
            read.sort_unstable();
            assert_eq!(published, read, "{name}");
            for remote in source.files {
                assert!(remote.md5.len() == 32 && !source.base.ends_with('/'), "{}", remote.file);
            }
        }
    }

    #[test]
    fn sums_are_found_by_name() {
        assert!(MNIST.published("t10k-labels-idx1-ubyte.gz").eq(["ec29112dd5afa0611ce80d1b7f02629c"]));
        assert_eq!(MNIST.content("t10k-labels-idx1-ubyte.gz"), Some("27ae3e4e09519cfbb04c329615203637"));
        assert_eq!(MNIST.content("t10k-labels-idx1-ubyte"), Some("27ae3e4e09519cfbb04c329615203637"));
        assert!(STL10.published("test_y.bin").eq(["36f9794fa4beb8a2c72628de14fa638e"]));
        assert_eq!(CIFAR10.published("test_batch.bin").count(), 0);
    }
}
