//! What Linux is asked about threads, and told: whether they run only where nobody else wants to (`SCHED_IDLE`, sched(7)).

#![allow(unsafe_code)]

use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use rustix::thread::{Pid, gettid};

/// A thread of this process, by its number in the system.
#[derive(Debug)]
pub(crate) struct Tid {
    number: Pid,
    /// How it was scheduled before it was demoted. Written before its gate says that it was, and read after.
    policy: AtomicI32,
    priority: AtomicI32,
}

/// Whether threads can be set back at all.
pub(crate) const CAN_DEMOTE: bool = cfg!(target_os = "linux");

impl Tid {
    /// The calling thread's.
    pub(crate) fn current() -> Self {
        Self { number: gettid(), policy: AtomicI32::default(), priority: AtomicI32::default() }
    }

    /// From now on the thread runs only where no other wants to. Any thread may be told so, and what it starts is born like that. It
    /// must not have ended.
    #[cfg(target_os = "linux")]
    pub(crate) fn demote(&self) -> io::Result<()> {
        let mut before = libc::sched_param { sched_priority: 0 };
        // SAFETY: the kernel writes the parameters during the call.
        let policy = unsafe {
            checked(libc::sched_getparam(self.raw(), &raw mut before))?;
            checked(libc::sched_getscheduler(self.raw()))?
        };
        self.policy.store(policy, Ordering::Relaxed);
        self.priority.store(before.sched_priority, Ordering::Relaxed);
        // Not everybody may take that flag away.
        self.set_policy(libc::SCHED_IDLE | policy & libc::SCHED_RESET_ON_FORK, 0)
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn demote(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// A thread that was demoted runs as it did before, if this process may decide that: as root, with CAP_SYS_NICE, or with an
    /// RLIMIT_NICE of 20 less its nice value.
    #[cfg(target_os = "linux")]
    pub(crate) fn restore(&self) -> io::Result<()> {
        self.set_policy(self.policy.load(Ordering::Relaxed), self.priority.load(Ordering::Relaxed))
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn restore(&self) -> io::Result<()> {
        Ok(())
    }

    /// Its nice value and its slice stay.
    #[cfg(target_os = "linux")]
    fn set_policy(&self, policy: i32, priority: i32) -> io::Result<()> {
        let parameters = libc::sched_param { sched_priority: priority };
        // SAFETY: the kernel reads the parameters during the call.
        checked(unsafe { libc::sched_setscheduler(self.raw(), policy, &raw const parameters) }).map(drop)
    }

    /// The thread asks for so much of a processor at a time, 100 µs at the least; zero is what is usual. One that asks for less than
    /// another is soon run in its place once it is woken: sched(7). Before Linux 6.12 it makes no difference. Threads that it starts ask for
    /// the same.
    #[cfg(target_os = "linux")]
    pub(crate) fn set_slice(&self, slice: Duration) -> io::Result<()> {
        let mut attributes = self.attributes()?;
        attributes.sched_runtime = slice.as_nanos() as u64;
        // SAFETY: the kernel reads the attributes during the call.
        let done = unsafe { libc::syscall(libc::SYS_sched_setattr, self.raw(), &raw const attributes, 0) };
        if done == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn set_slice(&self, _: Duration) -> io::Result<()> {
        Ok(())
    }

    /// How it is scheduled, all that the kernel is told at once.
    #[cfg(target_os = "linux")]
    fn attributes(&self) -> io::Result<libc::sched_attr> {
        const SIZE: usize = size_of::<libc::sched_attr>();
        // SAFETY: all zero is a value of this type, and the kernel writes so much of it during the call.
        unsafe {
            let mut attributes: libc::sched_attr = std::mem::zeroed();
            match libc::syscall(libc::SYS_sched_getattr, self.raw(), &raw mut attributes, SIZE, 0) {
                -1 => Err(io::Error::last_os_error()),
                _ => Ok(attributes),
            }
        }
    }

    /// How much of a processor the thread has had. `None` once it has ended.
    pub(crate) fn cpu_time(&self) -> Option<Duration> {
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
    pub(crate) fn is_runnable(&self) -> Option<bool> {
        let stat = fs::read_to_string(format!("/proc/self/task/{}/stat", self.raw())).ok()?;
        // The name before it is in parentheses, and may have some itself: proc_pid_stat(5).
        let state = stat.rsplit_once(')')?.1.trim_start().chars().next()?;
        Some(state == 'R')
    }

    fn raw(&self) -> i32 {
        self.number.as_raw_nonzero().get()
    }
}

/// What a system call gave, or why it failed.
#[cfg(target_os = "linux")]
fn checked(result: i32) -> io::Result<i32> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;
    use std::sync::{Arc, mpsc};
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

    /// How a thread that a system started with `Nice=5` and `CPUSchedulingPolicy=batch` would be.
    fn is_batch() -> Tid {
        let tid = Tid::current();
        // SAFETY: it takes numbers.
        checked(unsafe { libc::setpriority(libc::PRIO_PROCESS, tid.raw() as libc::id_t, 5) }).unwrap();
        tid.set_policy(libc::SCHED_BATCH, 0).unwrap();
        tid
    }

    fn policy_and_nice(tid: &Tid) -> (i32, i32) {
        let attributes = tid.attributes().unwrap();
        (attributes.sched_policy as i32, attributes.sched_nice)
    }

    #[test]
    fn another_thread_is_demoted_and_may_return_to_what_it_was_if_it_may() {
        let (tell, told) = mpsc::channel();
        let (go, gone) = mpsc::channel::<()>();
        let worker = thread::spawn(move || {
            let tid = Arc::new(is_batch());
            tell.send(Arc::clone(&tid)).unwrap();
            gone.recv().unwrap();
            (policy_and_nice(&tid), tid.restore().is_ok(), policy_and_nice(&tid))
        });
        told.recv().unwrap().demote().unwrap();
        go.send(()).unwrap();
        let (before, may_return, after) = worker.join().unwrap();
        assert_eq!(before, (libc::SCHED_IDLE, 5));
        assert_eq!(after, (if may_return { libc::SCHED_BATCH } else { libc::SCHED_IDLE }, 5));
        assert_ne!(policy_and_nice(&Tid::current()).0, libc::SCHED_IDLE, "the others are as they were");
    }

    #[test]
    fn a_slice_changes_nothing_else() {
        const SLICE: Duration = Duration::from_micros(300);
        let worker = thread::spawn(|| {
            let tid = is_batch();
            tid.set_slice(SLICE).unwrap();
            (policy_and_nice(&tid), tid.attributes().unwrap().sched_runtime)
        });
        let (kept, slice) = worker.join().unwrap();
        assert_eq!(kept, (libc::SCHED_BATCH, 5));
        // Before Linux 6.12 there is none.
        assert!([0, SLICE.as_nanos() as u64].contains(&slice), "{slice}");
    }
}
