//! The command, as a user runs it, and its service over a real socket.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::thread;

fn maths(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_maths"));
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = maths(arguments).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// A server on a free port, which ends with the test.
struct Served {
    child: Child,
    address: String,
    stderr: BufReader<ChildStderr>,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn serve() -> Served {
    let mut child = maths(&["tcp://127.0.0.1:0", "--workers", "2"]).spawn().unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let mut served = Served { child, address: String::new(), stderr };
    let mut line = String::new();
    loop {
        line.clear();
        assert_ne!(served.stderr.read_line(&mut line).unwrap(), 0, "it ended");
        if let Some(address) = line.trim().strip_prefix("listening on tcp://") {
            served.address = address.to_owned();
            return served;
        }
    }
}

impl Served {
    /// The status line and the body.
    fn get(&self, target: &str) -> (String, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(stream, "GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.lines().next().unwrap().to_owned(), body.to_owned())
    }

    fn result(&self, target: &str) -> serde_json::Value {
        let (status, body) = self.get(target);
        assert_eq!(status, "HTTP/1.1 200 OK", "{target}: {body}");
        serde_json::from_str(&body).unwrap()
    }
}

#[test]
fn all_three_are_served_side_by_side() {
    let served = serve();
    thread::scope(|scope| {
        for n in 1_u32..=8 {
            let served = &served;
            scope.spawn(move || {
                let derivative = served.result(&format!("/derivative?c=0,0,{n}&order=1"));
                assert_eq!(derivative["derivative"][1], f64::from(2 * n));
                let sum = served.result(&format!("/summation?c=0,{n}&from=1&to=300000"));
                assert_eq!(sum["summation"], 45_000_150_000.0 * f64::from(n));
                let integral = served.result(&format!("/integral?c=0,0,{n}&from=0&to=3"));
                assert!((integral["integral"].as_f64().unwrap() - f64::from(9 * n)).abs() < 1e-9);
            });
        }
    });
}

#[test]
fn the_highest_order_goes_all_its_rounds() {
    let served = serve();
    assert_eq!(served.result("/derivative?c=1,2,3&order=999")["derivative"][0], 0.0);
    let (status, sentence) = served.get("/derivative?c=1,2,3&order=1000");
    assert_eq!(status, "HTTP/1.1 422 Unprocessable Entity");
    assert_eq!(sentence, "`order` is a whole number from 0 to 999\n");
}

#[test]
fn what_is_wrong_is_answered_with_a_sentence() {
    let served = serve();
    let (status, sentence) = served.get("/integral?c=1,x&from=0&to=1");
    assert_eq!(status, "HTTP/1.1 400 Bad Request");
    assert!(sentence.starts_with("`c` is a list of finite numbers"), "{sentence}");
    // Every part refuses, and the request is answered once.
    let (status, sentence) = served.get("/summation?c=1e308&from=1&to=1000000");
    assert_eq!(status, "HTTP/1.1 422 Unprocessable Entity");
    assert!(sentence.contains("beyond the largest double"), "{sentence}");
    assert_eq!(served.get("/healthz").0, "HTTP/1.1 200 OK");
}

#[test]
fn it_prints_its_graph() {
    let (code, text, _) = run(&["--describe"]);
    assert_eq!(code, Some(0));
    assert!(text.starts_with("pipeline `maths`: ") && text.contains("\n    -> sum, in parts\n"), "{text}");
    let (code, dot, _) = run(&["--dot"]);
    assert_eq!(code, Some(0));
    assert!(dot.starts_with("digraph \"maths\" {\n") && dot.contains("\"refine\" -> \"refine\";"), "{dot}");
}

#[test]
fn it_says_what_is_wrong_with_its_arguments() {
    for arguments in [&["--workers", "0"][..], &["--describe", "--dot"], &["--x"], &["a", "b"]] {
        let (code, _, stderr) = run(arguments);
        assert_eq!(code, Some(2), "{arguments:?}");
        assert!(stderr.contains("--help"), "{stderr}");
    }
    let (code, _, stderr) = run(&["udp://127.0.0.1:1"]);
    assert_eq!(code, Some(1));
    assert!(stderr.starts_with("maths: ") && stderr.contains("udp://127.0.0.1:1"), "{stderr}");
    let (code, help, _) = run(&["--help"]);
    assert_eq!(code, Some(0));
    assert!(help.contains("GET /integral?c=0,1&from=0&to=4") && help.contains("--describe"), "{help}");
}
