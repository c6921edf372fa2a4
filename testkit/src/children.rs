//! Child processes of a test. Between its fork and its exec a child holds copies of all sockets of the
//! test, and a port whose listener was closed stays taken for that moment. The mock cluster, which closes
//! a listener and binds its port again to take a broker down, aborts the process if it meets that moment.
//!
//! So no broker goes down while a child starts: every test that shares a process with a mock cluster
//! starts its children here.

use std::io;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{PoisonError, RwLock};

/// Shared by starts, taken alone by whoever rebinds a port.
static STARTS: RwLock<()> = RwLock::new(());

/// Starts `command`. Returns when the child has executed its program.
///
/// # Errors
/// As [`Command::spawn`].
pub fn spawn(command: &mut Command) -> io::Result<Child> {
    let _starting = STARTS.read().unwrap_or_else(PoisonError::into_inner);
    command.spawn()
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
