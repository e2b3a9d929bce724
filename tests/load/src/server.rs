//! The servers under load: how each is started, and how it is asked what it used.

use std::fmt;
use std::io::{self, BufRead, BufReader, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{ChildStdout, Command};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;

use crate::cli::Part;
use crate::ours;
use crate::peers::Peer;
use crate::process::Process;
use crate::work;

/// Workers a stage, threads a pool, tokio threads: the same for every contestant.
pub(crate) const WORKERS: usize = 2;

/// The exit status by which `load serve` says that it is not wired.
pub(crate) const EXIT_ABSENT: u8 = 3;

const STARTS_WITHIN: Duration = Duration::from_secs(20);

/// A contestant that is not there to be measured, which is no failure of its own.
#[derive(Debug)]
pub(crate) struct Absent(pub(crate) String);

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Absent {}

/// How processes of one pipeline reach each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    Ipc,
    Tcp,
}

/// How our own runs as processes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Processes {
    pub(crate) wire: Wire,
    /// How much work a worker takes ahead.
    pub(crate) ahead: Duration,
    /// The time of a round trip between the workers and their proxy.
    pub(crate) distance: Duration,
}

impl Processes {
    /// With the defaults, on one machine.
    pub(crate) fn over(wire: Wire) -> Self {
        Self { wire, ahead: Duration::from_millis(1), distance: Duration::ZERO }
    }
}

/// A server that can be started.
#[derive(Clone, Debug)]
pub(crate) enum Server {
    /// One of the peers, by this same binary.
    Peer(Peer),
    /// Our own, by this same binary.
    Ours(ours::Kind),
    /// Our own with one stage, as processes of this same binary: a front end, a proxy and a worker of one thread for each of
    /// [`WORKERS`].
    Processes(Processes),
    /// The Python baseline.
    Python(PathBuf),
    /// A program that takes `tcp://ADDRESS:PORT` as its one argument.
    Program(PathBuf),
    /// None, and why.
    Absent(String),
}

impl Server {
    /// Starts the server and waits until it listens.
    pub(crate) fn start(&self) -> Result<Running> {
        match self {
            Self::Peer(peer) => Running::announced(&mut this_binary(*peer)?),
            Self::Ours(kind) => Running::announced(&mut this_binary(*kind)?),
            Self::Processes(processes) => Running::of_processes(processes),
            Self::Python(script) => {
                if !script.is_file() {
                    return Err(Absent(format!(
                        "there is no {}; name the script with --python-baseline",
                        script.display()
                    ))
                    .into());
                }
                let mut python = Command::new("python3");
                Running::announced(python.arg(script).arg("127.0.0.1:0")).map_err(|error| {
                    if is_missing_program(&error) {
                        Absent("python3 is not installed; install the package python3".into()).into()
                    } else {
                        error
                    }
                })
            }
            Self::Program(program) => {
                let address = free_address()?;
                Running::reachable(Command::new(program).arg(format!("tcp://{address}")), address)
            }
            Self::Absent(why) => Err(Absent(why.clone()).into()),
        }
    }
}

/// The command that makes this binary serve `contestant`.
fn this_binary(contestant: impl ValueEnum) -> Result<Command> {
    let name = contestant.to_possible_value().context("a contestant without a name")?;
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["serve", name.get_name(), "--listen", "127.0.0.1:0"])
        .args(["--workers", &WORKERS.to_string()])
        .args(["--turns-per-ms", &work::turns_per_ms().to_string()]);
    Ok(command)
}

/// A server that listens. It ends when this is dropped.
pub(crate) struct Running {
    process: Process,
    /// Other processes of it.
    others: Vec<Process>,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Running {
    /// Starts a program that says where it listens on its first line.
    fn announced(command: &mut Command) -> Result<Self> {
        let (process, stdout) = Process::start(command)?;
        let Some(line) = first_line(stdout, STARTS_WITHIN) else {
            bail!("it did not say where it listens within {STARTS_WITHIN:?}");
        };
        let line = line?;
        if line.is_empty() {
            let status = process.wait()?;
            let complaint = process.complaint();
            if status.code() == Some(EXIT_ABSENT.into()) {
                return Err(Absent(complaint).into());
            }
            bail!("it ended at once, {status}: {complaint}");
        }
        let address = announced_in(&line)
            .with_context(|| format!("its first line should be `listening on http://ADDRESS:PORT`, not {line:?}"))?;
        Ok(Self { process, others: Vec::new(), address })
    }

    fn of_processes(processes: &Processes) -> Result<Self> {
        let link = match processes.wire {
            Wire::Ipc => format!("ipc://@prime-load-{}-{}", std::process::id(), free_address()?.port()),
            Wire::Tcp => format!("tcp://{}", free_address()?),
        };
        let part = |part: Part| -> Result<Self> {
            let name = part.to_possible_value().context("a part without a name")?;
            let distance = if part == Part::Workerd { processes.distance } else { Duration::ZERO };
            Self::announced(
                this_binary(ours::Kind::One)?
                    .args(["--part", name.get_name(), "--link", &link])
                    .args(["--ahead", &processes.ahead.as_micros().to_string()])
                    .args(["--distance", &distance.as_micros().to_string()]),
            )
        };
        let proxy = part(Part::Proxyd)?;
        let workers = (0..WORKERS).map(|_| part(Part::Workerd)).collect::<Result<Vec<_>>>()?;
        let Self { process, address, .. } = part(Part::Httpd)?;
        let others = workers.into_iter().chain([proxy]).map(|other| other.process).collect();
        Ok(Self { process, others, address })
    }

    /// Starts a program that was told where to listen, and waits until it does.
    fn reachable(command: &mut Command, address: SocketAddr) -> Result<Self> {
        let (process, stdout) = Process::start(command)?;
        // Whatever it prints is read, so that it never waits for a full pipe.
        thread::spawn(move || io::copy(&mut BufReader::new(stdout), &mut io::sink()));
        let start = Instant::now();
        while let Err(error) = TcpStream::connect(address) {
            process.cpu().context("it did not start")?;
            ensure!(start.elapsed() < STARTS_WITHIN, "nothing listens on {address}: {error}");
            thread::sleep(Duration::from_millis(10));
        }
        Ok(Self { process, others: Vec::new(), address })
    }

    /// Processor time used so far, by all its processes.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let others = self.others.iter().map(Process::cpu).sum::<Result<Duration>>()?;
        Ok(self.process.cpu()? + others)
    }

    /// Resident memory in KiB.
    pub(crate) fn resident_kib(&self) -> Result<u64> {
        self.process.resident_kib()
    }

    /// Open descriptors.
    pub(crate) fn descriptors(&self) -> Result<usize> {
        self.process.descriptors()
    }
}

/// The first line of `stdout`, empty at its end; nothing if none comes in time. The rest is read
/// and dropped, so that the child never waits for a full pipe.
fn first_line(stdout: ChildStdout, within: Duration) -> Option<io::Result<String>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut stdout = BufReader::new(stdout);
        let mut line = String::new();
        let read = stdout.read_line(&mut line);
        // Nobody waits any more once the time is over.
        let _ = sender.send(read.map(|_| line));
        io::copy(&mut stdout, &mut io::sink())
    });
    receiver.recv_timeout(within).ok()
}

fn announced_in(line: &str) -> Option<SocketAddr> {
    line.split_once("http://")?.1.trim_end().parse().ok()
}

/// An address that nothing listens on, for programs that cannot choose one themselves.
fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// Whether `error` says that a program is not installed.
pub(crate) fn is_missing_program(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::NotFound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_holds_the_address() {
        assert_eq!(announced_in("listening on http://127.0.0.1:8002\n"), "127.0.0.1:8002".parse().ok());
        assert_eq!(announced_in("Traceback (most recent call last):\n"), None);
    }
}
