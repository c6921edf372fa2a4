//! UNIX sockets of a service: bound so that one is never there with wider permissions than it should have,
//! and so that one that a killed process left behind is replaced.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::Path;

/// Listens at `path` with the permissions `mode`, whoever listened there before. The listener does not
/// block: a client that is gone before it is accepted must not hold the service up.
///
/// # Errors
/// What the system says.
pub fn listen(path: &Path, mode: u32) -> io::Result<UnixListener> {
    // Under another name first, for the permissions.
    let fresh = path.with_extension("new");
    match std::fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&fresh)?;
    listener.set_nonblocking(true)?;
    std::fs::set_permissions(&fresh, Permissions::from_mode(mode))?;
    std::fs::rename(&fresh, path)?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_socket_that_was_left_behind_is_replaced_and_has_its_permissions() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.sock");
        drop(listen(&path, 0o600).unwrap());
        assert!(UnixStream::connect(&path).is_err(), "nobody listens at what was left behind");
        let listener = listen(&path, 0o660).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        UnixStream::connect(&path).unwrap();
        listener.accept().unwrap();
    }
}
