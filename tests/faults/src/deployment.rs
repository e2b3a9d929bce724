//! The processes of one pipeline on this machine, by their names.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Longer than anything here takes on the slowest machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How the processes reach each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    Ipc,
    Tcp,
}

/// Two hosts, of which this process is on one.
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    /// The network namespace of the other one.
    pub namespace: String,
    /// The addresses of this one and the other.
    pub near: String,
    pub far: String,
    /// This one's network interface.
    pub interface: String,
}

impl Hosts {
    /// Takes the network between them away for so long.
    ///
    /// # Panics
    /// If it cannot be.
    pub fn cut(&self, time: Duration) {
        let set = |to: &str| {
            let done = Command::new("ip").args(["link", "set", &self.interface, to]).status();
            assert!(done.is_ok_and(|status| status.success()), "the interface cannot be set {to}");
        };
        set("down");
        thread::sleep(time);
        set("up");
    }
}

/// Ends all its processes when it is dropped.
pub struct Deployment {
    exe: PathBuf,
    folder: TempDir,
    wire: Wire,
    /// The endpoint of each proxy.
    proxies: BTreeMap<String, String>,
    /// The stage of each proxy.
    stages: BTreeMap<String, String>,
    front_ends: BTreeMap<String, SocketAddr>,
    processes: BTreeMap<String, Child>,
    common: Vec<String>,
    /// The network namespace of the other host, and who runs there.
    far: Option<(String, BTreeSet<String>)>,
    beacon: bool,
}

impl Deployment {
    /// Of the binary `exe`, which runs no process yet. The proxies' endpoints are known from the beginning, since nothing has to be
    /// started before another.
    #[must_use]
    pub fn new(exe: impl Into<PathBuf>, wire: Wire, proxies: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let endpoint = |name: &str| match wire {
            Wire::Ipc => format!("ipc://{}/{name}", folder.path().display()),
            Wire::Tcp => format!("tcp://{}", free_address()),
        };
        Self {
            exe: exe.into(),
            wire,
            proxies: proxies.iter().map(|(name, _)| ((*name).to_owned(), endpoint(name))).collect(),
            stages: proxies.iter().map(|(name, stage)| ((*name).to_owned(), (*stage).to_owned())).collect(),
            front_ends: BTreeMap::new(),
            processes: BTreeMap::new(),
            common: Vec::new(),
            far: None,
            beacon: false,
            folder,
        }
    }

    /// Of two hosts, this one and a network namespace; those of these names run there. Links are over tcp, to proxies that bind
    /// `near` or `far`, by where they run.
    #[must_use]
    pub fn across(exe: impl Into<PathBuf>, hosts: &Hosts, there: &[&str], proxies: &[(&str, &str)]) -> Self {
        let mut deployment = Self::new(exe, Wire::Tcp, proxies).with(&["--insecure"]);
        for (name, endpoint) in &mut deployment.proxies {
            let host = if there.contains(&name.as_str()) { &hosts.far } else { &hosts.near };
            *endpoint = endpoint.replace("127.0.0.1", host);
        }
        deployment.far = Some((hosts.namespace.clone(), there.iter().map(|name| (*name).to_owned()).collect()));
        deployment
    }

    /// Options that all processes get.
    #[must_use]
    pub fn with(mut self, options: &[&str]) -> Self {
        self.common = options.iter().map(|option| (*option).to_owned()).collect();
        self
    }

    /// Whose proxies announce themselves, and are found by that.
    #[must_use]
    pub fn by_beacon(mut self) -> Self {
        self.beacon = true;
        self
    }

    /// A path for a file of a test's own.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn discover(&self) -> String {
        if self.beacon {
            return "beacon:".to_owned();
        }
        let entries: Vec<String> =
            self.proxies.iter().map(|(name, endpoint)| format!("{}={endpoint}", self.stages[name])).collect();
        format!("fixed:{}", entries.join(","))
    }

    /// Starts a front end, and gives where it listens: where it did before, if it did.
    pub fn front_end(&mut self, name: &str) -> SocketAddr {
        self.front_end_with(name, &[])
    }

    /// As [`front_end`](Self::front_end), with options of its own.
    pub fn front_end_with(&mut self, name: &str, options: &[&str]) -> SocketAddr {
        let at = self.front_ends.get(name).map_or("tcp://127.0.0.1:0".to_owned(), |at| format!("tcp://{at}"));
        let discover = self.discover();
        let line = self.start(name, &[&["httpd", "--listen", &at, "--discover", &discover], options].concat());
        let address = line.strip_prefix("listening on tcp://").and_then(|at| at.trim().parse().ok());
        let address = address.expect("a front end says where it listens");
        self.front_ends.insert(name.to_owned(), address);
        address
    }

    /// Starts a proxy.
    pub fn proxy(&mut self, name: &str) {
        let (stage, endpoint) = (self.stages[name].clone(), self.proxies[name].clone());
        let announce: &[&str] = if self.beacon { &["--announce"] } else { &[] };
        self.start(name, &[&["proxyd", stage.as_str(), "--bind", endpoint.as_str()], announce].concat());
    }

    /// Starts all proxies.
    pub fn all_proxies(&mut self) {
        for name in self.proxies.keys().cloned().collect::<Vec<_>>() {
            self.proxy(&name);
        }
    }

    /// Starts a worker of a stage.
    pub fn worker(&mut self, name: &str, stage: &str) {
        self.start(name, &["workerd", stage, "-j", "1", "--discover", &self.discover()]);
    }

    /// Starts a process, and waits until it says that it is there.
    fn start(&mut self, name: &str, arguments: &[&str]) -> String {
        let mut command = match &self.far {
            Some((namespace, there)) if there.contains(name) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", namespace]).arg(&self.exe);
                command
            }
            _ => Command::new(&self.exe),
        };
        command.args(arguments).args(&self.common).stderr(Stdio::piped()).stdin(Stdio::null());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", self.exe.display()));
        let mut lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let mut log =
            fs::File::options().create(true).append(true).open(self.path(&format!("{name}.log"))).expect("a log");
        let (says, said) = mpsc::channel();
        thread::spawn(move || {
            while let Some(Ok(line)) = lines.next() {
                let _ = writeln!(log, "{line}");
                if line.starts_with("listening on") || line == "ready" {
                    let _ = says.send(line);
                }
            }
        });
        let line = said.recv_timeout(PATIENCE);
        self.processes.insert(name.to_owned(), child);
        line.unwrap_or_else(|_| panic!("`{name}` does not start:\n{}", self.log(name)))
    }

    /// What a process has logged.
    #[must_use]
    pub fn log(&self, name: &str) -> String {
        fs::read_to_string(self.path(&format!("{name}.log"))).unwrap_or_default()
    }

    /// What all processes have logged.
    #[must_use]
    pub fn logs(&self) -> String {
        let names: BTreeSet<String> = fs::read_dir(self.folder.path())
            .map(|all| all.flatten().filter_map(|file| file.file_name().into_string().ok()).collect())
            .unwrap_or_default();
        let logs = names.iter().filter_map(|file| file.strip_suffix(".log"));
        logs.map(|name| format!("--- {name}\n{}", self.log(name))).collect()
    }

    /// Sends a process a signal.
    pub fn signal(&self, name: &str, signal: Signal) {
        let pid = Pid::from_child(&self.processes[name]);
        kill_process(pid, signal).expect("it is there");
    }

    /// Kills a process, as if by `kill -9`, and waits until it is gone.
    pub fn kill(&mut self, name: &str) {
        self.signal(name, Signal::KILL);
        let mut child = self.processes.remove(name).expect("it was started");
        let _ = child.wait();
    }

    /// Asks a process to end by SIGTERM, and waits until it has.
    pub fn stop(&mut self, name: &str) {
        self.signal(name, Signal::TERM);
        let mut child = self.processes.remove(name).expect("it was started");
        let status = until(|| child.try_wait().expect("it is a child of ours"));
        assert!(status.success(), "`{name}` ends with {status}:\n{}", self.log(name));
    }

    /// Whether a process has ended by itself.
    pub fn has_ended(&mut self, name: &str) -> bool {
        self.processes.get_mut(name).is_none_or(|child| child.try_wait().is_ok_and(|ended| ended.is_some()))
    }

    /// Waits until a file of that name is there, and gives what is in it.
    #[must_use]
    pub fn wait_for(&self, path: &Path) -> String {
        until(|| fs::read_to_string(path).ok().filter(|text| !text.is_empty()))
    }

    #[must_use]
    pub fn wire(&self) -> Wire {
        self.wire
    }
}

impl Drop for Deployment {
    fn drop(&mut self) {
        for child in self.processes.values_mut() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if thread::panicking() {
            eprintln!("{}", self.logs());
        }
    }
}

/// Waits until it is so, and fails if it never is.
///
/// # Panics
/// If it never is.
pub fn until<T>(mut is_so: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(so) = is_so() {
            return so;
        }
        assert!(begun.elapsed() < PATIENCE, "it is never so");
        thread::sleep(Duration::from_millis(2));
    }
}

/// An address that nobody has at this moment.
fn free_address() -> SocketAddr {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    socket.local_addr().expect("it is bound")
}
