//! Secrets: read from a file or from systemd's `$CREDENTIALS_DIRECTORY`, never from the
//! configuration itself, and never shown.

use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A secret whose `Debug` hides it. It has no `Display` on purpose.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    text: String,
    /// Where it was read.
    file: Option<PathBuf>,
}

impl Secret {
    /// Takes a secret that was read elsewhere.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self { text, file: None }
    }

    /// The secret itself, for the one call that needs it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// The secret as its file has it now; itself when it has no file.
    ///
    /// # Errors
    /// When the file cannot be read or is empty.
    pub fn current(&self) -> Result<Self, SecretError> {
        self.file.clone().map_or_else(|| Ok(self.clone()), from_file)
    }

    /// What an operator should know about the secret's file; nothing when all is well.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        exposure(self.file.as_deref()?)
    }
}

/// Says so when everybody on the machine can read the file: it and all folders above it allow that.
/// This is a warning and no refusal: containers are commonly given their secrets like this, and a daemon
/// that does not start loses records.
#[must_use]
pub fn exposure(file: &Path) -> Option<String> {
    let allows = |path: &Path, bit: u32| {
        std::fs::metadata(path).is_ok_and(|found| found.permissions().mode() & bit != 0)
    };
    let whole = file.canonicalize().ok()?;
    let is_open = allows(&whole, 0o004) && whole.ancestors().skip(1).all(|folder| allows(folder, 0o001));
    is_open.then(|| {
        let file = file.display();
        format!("everybody on this machine can read the secret in {file}; chmod 0400 {file}, owned by the user that runs this")
    })
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

/// An address that may carry a secret: a token in its query. `Debug` and `Display` show neither that nor
/// user information.
#[derive(Clone, PartialEq, Eq)]
pub struct Address(String);

impl Address {
    /// Takes an address.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The whole address, for the one call that needs it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether it has a user name or a password in it.
    #[must_use]
    pub fn has_user(&self) -> bool {
        self.authority().contains('@')
    }

    fn authority(&self) -> &str {
        let rest = self.0.split_once("://").map_or(self.0.as_str(), |(_, rest)| rest);
        rest.split(['/', '?', '#', '\\']).next().unwrap_or(rest)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.split(['?', '#']).next().unwrap_or_default();
        let hidden = if shown.len() < self.0.len() { "?(hidden)" } else { "" };
        let scheme = shown.split_once("://").map_or("", |(scheme, _)| scheme);
        match self.authority().rsplit_once('@') {
            Some((user, _)) => {
                let rest = &shown[(scheme.len() + 3 + user.len()).min(shown.len())..];
                write!(f, "{scheme}://(hidden){rest}{hidden}")
            }
            None => write!(f, "{shown}{hidden}"),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

/// Why a secret could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error("cannot read the secret's file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file holds nothing but white space.
    #[error("the secret's file {} is empty", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// `$CREDENTIALS_DIRECTORY` is not set, so there are no systemd credentials.
    #[error(
        "credential {name:?} was asked for, but $CREDENTIALS_DIRECTORY is not set (LoadCredential= in the unit sets it)"
    )]
    NoCredentials {
        /// The credential's name.
        name: String,
    },
    /// A credential's name must be a plain file name.
    #[error("{name:?} is no credential's name: it must be a plain file name")]
    BadName {
        /// The credential's name.
        name: String,
    },
}

/// Reads a secret from a file; white space around it, such as the final newline, is not part of it.
///
/// # Errors
/// When the file cannot be read or is empty.
pub fn from_file(path: PathBuf) -> Result<Secret, SecretError> {
    match std::fs::read_to_string(&path) {
        Err(source) => Err(SecretError::Read { path, source }),
        Ok(text) if text.trim().is_empty() => Err(SecretError::Empty { path }),
        Ok(text) => Ok(Secret { text: text.trim().to_owned(), file: Some(path) }),
    }
}

/// Reads the systemd credential `name` below `directory` (`$CREDENTIALS_DIRECTORY`).
///
/// # Errors
/// When there is no such directory, the name is a path, or the file cannot be read or is empty.
pub fn from_credential(directory: Option<&str>, name: &str) -> Result<Secret, SecretError> {
    if name.is_empty() || name.contains('/') || name == ".." {
        return Err(SecretError::BadName { name: name.to_owned() });
    }
    let directory = directory.ok_or_else(|| SecretError::NoCredentials { name: name.to_owned() })?;
    from_file(PathBuf::from(directory).join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_and_never_shown() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("token"), "hunter2\n").unwrap();
        let secret = from_credential(dir.path().to_str(), "token").unwrap();
        assert_eq!(secret.reveal(), "hunter2");
        assert_eq!(format!("{secret:?}"), "Secret(hidden)");
    }

    #[test]
    fn a_secret_is_read_again_when_asked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        std::fs::write(&path, "old").unwrap();
        let secret = from_file(path.clone()).unwrap();
        std::fs::write(&path, "new\n").unwrap();
        assert_eq!(secret.reveal(), "old");
        assert_eq!(secret.current().unwrap().reveal(), "new");
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(secret.current(), Err(SecretError::Read { .. })));
    }

    #[test]
    fn a_file_that_everybody_can_read_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        std::fs::write(&path, "hunter2").unwrap();
        let set =
            |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        set(&path, 0o644);
        set(dir.path(), 0o700);
        let secret = from_file(path.clone()).unwrap();
        assert_eq!(secret.warning(), None, "nobody else gets into the folder");
        set(dir.path(), 0o755);
        let warning = secret.warning().unwrap();
        assert!(warning.contains(path.to_str().unwrap()) && !warning.contains("hunter2"), "{warning}");
        set(&path, 0o640);
        assert_eq!(secret.warning(), None);
    }

    #[test]
    fn a_missing_or_empty_secret_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("empty"), " \n").unwrap();
        let path = dir.path().to_str();
        assert!(matches!(from_credential(path, "empty"), Err(SecretError::Empty { .. })));
        assert!(matches!(from_credential(path, "absent"), Err(SecretError::Read { .. })));
        assert!(matches!(from_credential(path, "../token"), Err(SecretError::BadName { .. })));
        assert!(matches!(from_credential(None, "token"), Err(SecretError::NoCredentials { .. })));
    }
}
