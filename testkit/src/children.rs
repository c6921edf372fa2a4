//! Child processes of a test. Between its fork and its exec a child holds copies of all sockets of the
//! test, and a port whose listener was closed stays taken for that moment. The mock cluster, which closes
//! a listener and binds its port again to take a broker down, aborts the process if it meets that moment.
//!
//! So no broker goes down while a child starts: every test that shares a process with a mock cluster
//! starts its children here. That [`Command::spawn`] has returned does not mean that the copies are gone:
//! the kernel wakes the parent before it closes them. A pipe tells when it has.

use std::io::{self, Read as _};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{PoisonError, RwLock};

/// Shared by starts, taken alone by whoever rebinds a port.
static STARTS: RwLock<()> = RwLock::new(());
/// Above all descriptors that a test has, and below the usual limit of 1024: exec closes in their order.
const LAST_DESCRIPTOR: i32 = 960;

/// Starts `command`. Returns when the child has executed its program and holds nothing of ours.
///
/// # Errors
/// As [`Command::spawn`].
pub fn spawn(command: &mut Command) -> io::Result<Child> {
    let _starting = STARTS.read().unwrap_or_else(PoisonError::into_inner);
    let (mut closed, mark) = io::pipe()?;
    let last = rustix::io::fcntl_dupfd_cloexec(&mark, LAST_DESCRIPTOR)?;
    drop(mark);
    let child = command.spawn();
    drop(last);
    // Ends when the last copy of the mark is closed, and with it all that stood before it.
    let _ = closed.read(&mut [0])?;
    child
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
