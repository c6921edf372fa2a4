//! Secrets: read from a file or from systemd's `$CREDENTIALS_DIRECTORY`, never from the
//! configuration itself, and never shown.

use std::fmt;
use std::path::PathBuf;

/// A secret whose `Debug` hides it. It has no `Display` on purpose.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a secret that was read elsewhere.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The secret itself, for the one call that needs it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
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
        Ok(text) => Ok(Secret(text.trim().to_owned())),
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
