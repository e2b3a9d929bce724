//! The program, as it is used.

use std::process::{Command, Output};

fn simulate(arguments: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_simulate")).args(arguments.split_whitespace()).output().unwrap()
}

fn said(output: &[u8]) -> String {
    String::from_utf8(output.to_vec()).unwrap()
}

#[test]
fn the_same_seed_gives_the_same_output_byte_for_byte() {
    let out = |arguments: &str| {
        let output = simulate(arguments);
        assert!(output.status.success(), "{}", said(&output.stderr));
        said(&output.stdout)
    };
    let run = "run --workload pareto --workers 3 --load 0.9 --jobs 20000 --tenants 4 --shuffled 0.2";
    assert_eq!(out(run), out(run));
    assert_ne!(out(run), out(&format!("{run} --seed 2")));
    for policy in ["fifo", "demotion", "weighted", "strict", "srpt"] {
        assert!(out(run).contains(&format!("| {policy} ")), "{policy}");
    }
}

#[test]
fn what_theory_says_is_beside_it() {
    let out = said(&simulate("run --workload exponential --workers 3 --jobs 1000 --policy fifo").stdout);
    assert!(out.contains("Erlang C"), "{out}");
}

#[test]
fn it_exits_with_1_where_the_simulator_differs_from_theory() {
    let output = simulate("check --jobs 1000");
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output.stdout).contains("DIFFERS"));
}

#[test]
fn a_trace_is_simulated_from_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.txt");
    let lines: String = (0..1000).map(|at| format!("{} {}\n", at * 10, if at % 10 == 0 { 100 } else { 5 })).collect();
    std::fs::write(&path, lines).unwrap();
    let output = simulate(&format!("run --trace {} --workers 2 --policy fifo,srpt", path.display()));
    assert!(said(&output.stdout).contains("load 0.725"), "{} {}", said(&output.stdout), said(&output.stderr));
}

#[test]
fn curves_are_drawn_as_svg() {
    let folder = tempfile::tempdir().unwrap();
    let output = simulate(&format!("curves exponential --jobs 2000 --out {}", folder.path().join("new").display()));
    assert!(output.status.success(), "{}", said(&output.stderr));
    let svg = std::fs::read_to_string(folder.path().join("new/exponential.svg")).unwrap();
    assert!(svg.starts_with("<svg") && ["fifo", "demotion", "srpt", "load"].iter().all(|name| svg.contains(name)));
}

#[test]
fn what_is_wrong_is_said_with_the_remedy() {
    for (arguments, said_why) in [
        ("run --workload poisson", "the workloads are constant, exponential, bimodal, pareto"),
        ("run --policy lifo", "the policies are fifo"),
        ("run --workers 10001", "from 1 to 10000"),
        ("run --load 0", "1 is all that the workers can do"),
        ("run --jobs many", "1e7"),
        ("run --trace /nowhere", "/nowhere cannot be read"),
        ("run --workload exponential:1e6 --workers 1 --jobs 1e7", "simulate fewer"),
        ("curves all", "the curves are"),
    ] {
        let output = simulate(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments}");
        assert!(said(&output.stderr).contains(said_why), "{arguments}: {}", said(&output.stderr));
    }
}
