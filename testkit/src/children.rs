//! Child processes of a test. Between its fork and its exec a child holds copies of all sockets of the
//! test, and a port whose listener was closed stays taken for that moment. The mock cluster, which closes
//! a listener and binds its port again to take a broker down, aborts the process if it meets that moment.
//!
//! So no broker goes down while a child starts: every test that shares a process with a mock cluster
//! starts its children here. That [`Command::spawn`] has returned does not mean that the copies are gone:
//! the kernel wakes the parent before it closes them. A pipe tells when it has.
//!
//! The mock cluster accepts connections without close-on-exec. A child that kept one would keep it open when the
//! mock closes it, and the client at its other end would wait for an answer until its own patience ends, a minute.

use std::io::{self, Read as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{PoisonError, RwLock};

/// Shared by starts, taken alone by whoever rebinds a port.
static STARTS: RwLock<()> = RwLock::new(());
/// Above all descriptors that a test has, and below the usual limit of 1024: exec closes in their order.
const LAST_DESCRIPTOR: i32 = 960;

/// Starts `command`, which gets standard input, output and error, and nothing else of ours. Returns when the child
/// has executed its program.
///
/// # Errors
/// As [`Command::spawn`].
pub fn spawn(command: &mut Command) -> io::Result<Child> {
    let _starting = STARTS.read().unwrap_or_else(PoisonError::into_inner);
    let (mut closed, mark) = io::pipe()?;
    let last = rustix::io::fcntl_dupfd_cloexec(&mark, LAST_DESCRIPTOR)?;
    drop(mark);
    #[expect(unsafe_code, reason = "only the child itself can mark what it was given, whoever opened it")]
    // SAFETY: between fork and exec only what is async-signal-safe may be called: this is one system call, which
    // allocates nothing and takes no lock, and the error is a number.
    let child = unsafe { command.pre_exec(close_on_exec) }.spawn();
    drop(last);
    // Ends when the last copy of the mark is closed, and with it all that stood before it.
    let _ = closed.read(&mut [0])?;
    child
}

/// Marks all descriptors but the three standard ones to be closed by exec.
fn close_on_exec() -> io::Result<()> {
    const FIRST: libc::c_uint = 3;
    #[expect(unsafe_code, reason = "the standard library has no such call")]
    // SAFETY: it takes numbers only, and closes nothing by itself.
    let outcome =
        unsafe { libc::syscall(libc::SYS_close_range, FIRST, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Runs `command` to its end, with nothing to read; what it printed.
///
/// # Errors
/// As [`Command::output`].
pub fn output(command: &mut Command) -> io::Result<Output> {
    spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()))?.wait_with_output()
}

/// Does something while no child is between its fork and its exec.
pub(crate) fn while_none_starts<T>(act: impl FnOnce() -> T) -> T {
    let _alone = STARTS.write().unwrap_or_else(PoisonError::into_inner);
    act()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::fd::AsRawFd as _;

    use super::*;

    #[test]
    fn a_child_gets_nothing_but_its_standard_streams() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        // As the mock cluster accepts: without close-on-exec.
        rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::empty()).unwrap();
        let name = std::fs::read_link(format!("/proc/self/fd/{}", socket.as_raw_fd())).unwrap();
        let listed = output(Command::new("ls").args(["-l", "/proc/self/fd"])).unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        assert!(listed.contains(" 2 -> "), "{listed}");
        assert!(!listed.contains(name.to_str().unwrap()), "{listed}");
    }
}
