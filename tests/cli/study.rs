//! The depth study: its picture, its numbers, what it refuses.

use std::fs;

use crate::support::{failure, objects, predsim, stdout};

const TINY: [&str; 6] = ["--limit-train=32", "--limit-test=20", "--epochs=1", "--feat-mult=0.03", "--depths", "1"];

#[test]
fn a_study_draws_and_writes_the_norms_of_every_block() {
    let dir = tempfile::tempdir().unwrap();
    let text = stdout(predsim(&["depth-study", "--json", "--out"]).arg(dir.path()).args(TINY).arg("3"));
    let runs = objects(&text);
    let order: Vec<String> = runs.iter().map(|run| format!("{} {}", run["method"], run["depth"])).collect();
    assert_eq!(order, ["\"backprop\" 1", "\"backprop\" 3", "\"pred\" 1", "\"pred\" 3"]);
    let picture = image::open(dir.path().join("depth-study.png")).unwrap();
    assert!(picture.width() > picture.height() && picture.height() > 300);
    let numbers = fs::read_to_string(dir.path().join("depth-study.csv")).unwrap();
    let rows: Vec<Vec<&str>> = numbers.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(rows[0].join(","), "method,depth,block,gradient_norm,update_norm,weight_norm");
    assert_eq!(rows.len(), 1 + 2 * (1 + 3));
    for norm in rows[1..].iter().flat_map(|row| &row[3..]) {
        assert!(norm.parse::<f64>().unwrap() > 0.0, "{norm}");
    }
    let first =
        |method: &str, depth: &str| rows.iter().find(|row| row[..3] == [method, depth, "1"]).unwrap()[3..].to_vec();
    assert_eq!(first("pred", "1"), first("pred", "3"), "a local block does not notice what lies behind it");
    assert_ne!(first("backprop", "1"), first("backprop", "3"));
}

#[test]
fn a_study_sets_its_models_itself() {
    for (flags, part) in [
        (["--model", "mlp"], "sets --model and --backprop itself"),
        (["--depths", "0"], "'--depths <N>...'"),
        (["--schedule", "greedy"], "--schedule "),
    ] {
        let (text, code) = failure(&mut predsim(&["depth-study", flags[0], flags[1]]));
        assert!(text.contains(part) && code == 2, "{text}");
    }
}
