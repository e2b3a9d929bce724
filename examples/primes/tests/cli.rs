//! The command line of `prime_serverd`, as a user runs it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

fn prime_serverd(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_prime_serverd"));
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = prime_serverd(arguments).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// Ends the process if the test ends before it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn it_counts_the_primes_of_a_range() {
    for (arguments, first_line) in [
        (&["1000"][..], "168 primes from 0 to 1000"),
        (&["10,20", "1"], "4 primes from 10 to 20"),
        (&["18446744073709551614,18446744073709551615"], "0 primes from 18446744073709551614 to 18446744073709551615"),
    ] {
        let (code, stdout, _) = run(arguments);
        assert_eq!(code, Some(0));
        assert_eq!(stdout.lines().next(), Some(first_line));
        assert!(stdout.contains("jobs/s") && stdout.contains("is_prime: "), "{stdout}");
    }
}

#[test]
fn it_shows_its_pipeline() {
    let (code, out, _) = run(&["--describe"]);
    assert_eq!(code, Some(0));
    assert!(out.contains("route GET /is_prime -> parse\n") && out.contains("stage `is_prime`: "), "{out}");
    let (code, out, _) = run(&["--dot"]);
    assert!(code == Some(0) && out.starts_with("digraph \"primes\""), "{out}");
    assert_eq!(run(&["--dot", "100"]).0, Some(2));
}

#[test]
fn it_says_what_is_wrong_with_its_arguments() {
    for arguments in [&[][..], &["x"], &["20,10"], &["10", "0"], &["10", "x"], &["10", "1", "1"]] {
        let (code, _, stderr) = run(arguments);
        assert_eq!(code, Some(2), "{arguments:?}");
        assert!(stderr.contains("--help") && stderr.lines().count() > 1, "{stderr}");
    }
    let (code, _, stderr) = run(&["udp://127.0.0.1:1"]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("udp://127.0.0.1:1") && stderr.contains("tcp://127.0.0.1:8002"), "{stderr}");
}

#[test]
fn ctrl_c_ends_a_count_with_what_was_counted() {
    let mut child = Running(prime_serverd(&["0,18446744073709551615"]).spawn().unwrap());
    let tasks = format!("/proc/{}/task", child.0.id());
    // Signals are caught before the first thread is started.
    let has_begun = || std::fs::read_dir(&tasks).is_ok_and(|threads| threads.count() > 1);
    let start = Instant::now();
    while !has_begun() {
        assert!(start.elapsed() < Duration::from_secs(30), "it did not begin");
        std::thread::yield_now();
    }
    kill_process(Pid::from_child(&child.0), Signal::INT).unwrap();
    let (mut stdout, mut stderr) = (String::new(), String::new());
    child.0.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
    child.0.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    let status = child.0.wait().unwrap();
    assert!(status.success(), "{status}: {stdout}{stderr}");
    assert!(stdout.starts_with("interrupted after ") && stdout.contains("primes among them"), "{stdout}");
}

#[test]
fn what_it_cannot_print_is_an_error_and_no_panic() {
    let mut child = Running(prime_serverd(&["1000"]).spawn().unwrap());
    drop(child.0.stdout.take());
    let mut stderr = String::new();
    child.0.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!((child.0.wait().unwrap().code(), &*stderr), (Some(1), "prime_serverd: Broken pipe (os error 32)\n"));
}

/// Serves on a free port. Whoever drops the output leaves the process with nobody to read what it logs.
fn serve() -> (Running, String, BufReader<ChildStderr>) {
    let mut child = Running(prime_serverd(&["tcp://127.0.0.1:0", "1"]).spawn().unwrap());
    let mut line = String::new();
    let mut stderr = BufReader::new(child.0.stderr.take().unwrap());
    loop {
        line.clear();
        assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "it ended");
        if let Some(address) = line.trim().strip_prefix("listening on tcp://") {
            return (child, address.to_owned(), stderr);
        }
    }
}

#[test]
fn it_drains_although_nobody_reads_its_log() {
    let (mut child, _, stderr) = serve();
    drop(stderr);
    kill_process(Pid::from_child(&child.0), Signal::TERM).unwrap();
    assert!(child.0.wait().unwrap().success());
}

#[test]
fn it_serves_and_drains() {
    let (mut child, address, _stderr) = serve();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET /is_prime?possible_prime=7 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\ntrue"), "{answer}");
    kill_process(Pid::from_child(&child.0), Signal::TERM).unwrap();
    assert!(child.0.wait().unwrap().success());
}
