//! What Linux is asked about threads, and told: whether they run only where nobody else wants to (`SCHED_IDLE`, sched(7)).

#![allow(unsafe_code)]

use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::time::Duration;

use rustix::thread::{Pid, gettid};

/// A thread of this process, by its number in the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tid(Pid);

/// Whether threads can be set back at all.
pub(crate) const CAN_DEMOTE: bool = cfg!(target_os = "linux");

impl Tid {
    /// The calling thread's.
    pub(crate) fn current() -> Self {
        Self(gettid())
    }

    /// From now on the thread runs only where no other wants to. Any thread may be told so, and what it starts is born like that. It
    /// must not have ended.
    #[cfg(target_os = "linux")]
    pub(crate) fn demote(self) -> io::Result<()> {
        self.set_policy(libc::SCHED_IDLE)
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn demote(self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// It runs as others do again, if this process may decide that: as root, with CAP_SYS_NICE, or with an RLIMIT_NICE of 20 or more.
    #[cfg(target_os = "linux")]
    pub(crate) fn restore(self) -> io::Result<()> {
        self.set_policy(libc::SCHED_OTHER)
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn restore(self) -> io::Result<()> {
        Ok(())
    }

    #[cfg(target_os = "linux")]
    fn set_policy(self, policy: i32) -> io::Result<()> {
        let none = libc::sched_param { sched_priority: 0 };
        // SAFETY: the kernel reads the parameters during the call.
        match unsafe { libc::sched_setscheduler(self.raw(), policy, &raw const none) } {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    }

    /// The thread asks for so much of a processor at a time, 100 µs at the least; zero is what is usual. One that asks for less than
    /// another is soon run in its place once it is woken: sched(7). Before Linux 6.12 this does nothing. Threads that it starts ask for the
    /// same.
    #[cfg(target_os = "linux")]
    pub(crate) fn set_slice(self, slice: Duration) -> io::Result<()> {
        // SAFETY: all zero is a value of this type, and the kernel reads it during the call.
        let done = unsafe {
            let mut attributes: libc::sched_attr = std::mem::zeroed();
            attributes.size = size_of::<libc::sched_attr>() as u32;
            attributes.sched_policy = libc::SCHED_OTHER as u32;
            attributes.sched_runtime = slice.as_nanos() as u64;
            libc::syscall(libc::SYS_sched_setattr, self.raw(), &raw const attributes, 0)
        };
        if done == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn set_slice(self, _: Duration) -> io::Result<()> {
        Ok(())
    }

    /// How much of a processor the thread has had. `None` once it has ended.
    pub(crate) fn cpu_time(self) -> Option<Duration> {
        // How the kernel encodes the clock of a thread: pthread_getcpuclockid(3) computes the same.
        const PER_THREAD: i32 = 4;
        const SCHED: i32 = 2;
        let clock = (!self.raw() << 3) | PER_THREAD | SCHED;
        let mut time = MaybeUninit::<libc::timespec>::uninit();
        // SAFETY: the kernel writes the time during the call, and has where it succeeds.
        let time = unsafe {
            if libc::clock_gettime(clock, time.as_mut_ptr()) != 0 {
                return None;
            }
            time.assume_init()
        };
        Some(Duration::new(u64::try_from(time.tv_sec).ok()?, u32::try_from(time.tv_nsec).ok()?))
    }

    /// Whether the thread runs or waits for a processor, and for nothing else. `None` where the system does not tell.
    pub(crate) fn is_runnable(self) -> Option<bool> {
        let stat = fs::read_to_string(format!("/proc/self/task/{}/stat", self.raw())).ok()?;
        // The name before it is in parentheses, and may have some itself: proc_pid_stat(5).
        let state = stat.rsplit_once(')')?.1.trim_start().chars().next()?;
        Some(state == 'R')
    }

    fn raw(self) -> i32 {
        self.0.as_raw_nonzero().get()
    }
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;
    use std::sync::mpsc;
    use std::thread;
    use std::time::Instant;

    use super::*;

    /// Burns a processor for a while by the clock.
    fn burn(time: Duration) {
        let start = Instant::now();
        while start.elapsed() < time {
            black_box((0..1000_u64).sum::<u64>());
        }
    }

    #[test]
    fn a_thread_that_works_has_cpu_time_and_one_that_sleeps_has_not() {
        let tid = Tid::current();
        let before = tid.cpu_time().unwrap();
        burn(Duration::from_millis(5));
        assert!(tid.cpu_time().unwrap() > before);
        assert_eq!(tid.is_runnable(), Some(true));

        let (tell, told) = mpsc::channel();
        let (end, ended) = mpsc::channel::<()>();
        let sleeper = thread::spawn(move || {
            tell.send(Tid::current()).unwrap();
            let _ = ended.recv();
        });
        let tid = told.recv().unwrap();
        while tid.is_runnable() != Some(false) {
            thread::yield_now();
        }
        let before = tid.cpu_time().unwrap();
        burn(Duration::from_millis(5));
        assert_eq!(tid.cpu_time(), Some(before));
        drop(end);
        sleeper.join().unwrap();
    }

    #[test]
    fn another_thread_is_demoted_and_may_return_if_it_may() {
        let (tell, told) = mpsc::channel();
        let (go, gone) = mpsc::channel::<()>();
        let worker = thread::spawn(move || {
            let tid = Tid::current();
            tell.send(tid).unwrap();
            gone.recv().unwrap();
            (policy(), tid.restore().is_ok(), policy())
        });
        told.recv().unwrap().demote().unwrap();
        go.send(()).unwrap();
        let (before, may_return, after) = worker.join().unwrap();
        assert_eq!(before, libc::SCHED_IDLE);
        assert_eq!(after, if may_return { libc::SCHED_OTHER } else { libc::SCHED_IDLE });
        assert_eq!(policy(), libc::SCHED_OTHER, "the others are as they were");
    }

    fn policy() -> i32 {
        // SAFETY: it takes a number and gives one.
        unsafe { libc::sched_getscheduler(0) }
    }
}
