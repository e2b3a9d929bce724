//! Child processes: started, accounted for, and never left behind.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use std::{fs, thread};

use anyhow::{Context, Result};
use nix::time::ClockId;
use nix::unistd::Pid;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// The children that are alive, for the signal handler to end.
static ALIVE: Mutex<Vec<Weak<Mutex<Child>>>> = Mutex::new(Vec::new());

/// From now on Ctrl-C and SIGTERM end every child before they end this process.
pub(crate) fn end_children_on_signals() -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            // The lock is kept until the exit, so that no child starts after this one look.
            for child in lock(&ALIVE).iter().filter_map(Weak::upgrade) {
                // Fails only for a child that has ended already.
                let _ = lock(&child).kill();
            }
            std::process::exit(128 + signal);
        }
    });
    Ok(())
}

/// A child process that ends when it is dropped.
pub(crate) struct Process {
    child: Arc<Mutex<Child>>,
    pid: Pid,
    stderr: File,
}

impl Process {
    /// Starts `command` and gives its standard output beside it; what it says on standard error is
    /// kept for [`Process::complaint`].
    pub(crate) fn start(command: &mut Command) -> Result<(Self, ChildStdout)> {
        let stderr = tempfile::tempfile().context("cannot make a temporary file")?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr.try_clone()?);
        let mut alive = lock(&ALIVE);
        let mut child = command.spawn().with_context(|| format!("cannot start {}", command.get_program().display()))?;
        let stdout = child.stdout.take().expect("standard output is piped");
        let pid = Pid::from_raw(i32::try_from(child.id())?);
        let child = Arc::new(Mutex::new(child));
        alive.retain(|other| other.strong_count() > 0);
        alive.push(Arc::downgrade(&child));
        Ok((Self { child, pid, stderr }, stdout))
    }

    /// Waits for the end of a child that has closed its standard output.
    pub(crate) fn wait(&self) -> Result<ExitStatus> {
        Ok(lock(&self.child).wait()?)
    }

    /// The end of what the child wrote to standard error.
    pub(crate) fn complaint(&self) -> String {
        let mut stderr = &self.stderr;
        let mut said = Vec::new();
        // An unreadable complaint must not hide the failure that it belongs to.
        let _ = stderr.seek(SeekFrom::Start(0)).and_then(|_| stderr.read_to_end(&mut said));
        let said = String::from_utf8_lossy(&said);
        let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
        lines[lines.len().saturating_sub(3)..].join("; ")
    }

    /// The processor time that all the child's threads have used so far, user and system, to the
    /// nanosecond.
    ///
    /// It is the sum of what `/proc/PID/stat` shows in ticks of 10 ms, and keeps what ended threads
    /// used.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let used = ClockId::pid_cpu_clock_id(self.pid)
            .and_then(ClockId::now)
            .with_context(|| format!("process {} has ended: {}", self.pid, self.complaint()))?;
        Ok(used.into())
    }

    /// Resident memory in KiB.
    pub(crate) fn resident_kib(&self) -> Result<u64> {
        let path = format!("/proc/{}/status", self.pid);
        let status = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        resident_in(&status).with_context(|| format!("{path} shows no VmRSS: the process has ended"))
    }

    /// How many descriptors the child has open.
    pub(crate) fn descriptors(&self) -> Result<usize> {
        let path = format!("/proc/{}/fd", self.pid);
        Ok(fs::read_dir(&path).with_context(|| format!("cannot read {path}"))?.count())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let mut child = lock(&self.child);
        // Both fail only for a child that has ended and been waited for.
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn resident_in(status: &str) -> Option<u64> {
    status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse().ok())
}

/// A panic elsewhere leaves these values as good as they were.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_found() {
        assert_eq!(resident_in("Name:\tx\nVmHWM:\t 9 kB\nVmRSS:\t    1234 kB\n"), Some(1234));
        assert_eq!(resident_in("Name:\tx\n"), None);
    }

    #[test]
    fn a_child_is_heard_and_waited_for() -> Result<()> {
        let (process, mut stdout) = Process::start(Command::new("sh").args(["-c", "echo out; echo err >&2; exit 7"]))?;
        let mut out = String::new();
        stdout.read_to_string(&mut out)?;
        assert_eq!(process.wait()?.code(), Some(7));
        assert_eq!((out.as_str(), process.complaint().as_str()), ("out\n", "err"));
        Ok(())
    }
}
