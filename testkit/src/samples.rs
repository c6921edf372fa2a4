//! Recordings of real streams and the results they must come to. They are kept beside the source
//! tree, not in it: at `../shared/data` from the workspace, or where `$SPILLWAY_SAMPLES` says.
//!
//! A test that needs them and has none says so on standard error and ends; it never passes in silence.

use std::path::{Path, PathBuf};

/// The environment variable that names the folder.
pub const VARIABLE: &str = "SPILLWAY_SAMPLES";

/// The folder, whether it exists or not.
#[must_use]
pub fn folder() -> PathBuf {
    match std::env::var_os(VARIABLE) {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"),
    }
}

/// The path of a sample, for example `x/hk.v2stream.ndjson`. When it is missing, says which test is
/// skipped for it and returns `None`.
#[must_use]
pub fn find(name: &str, test: &str) -> Option<PathBuf> {
    let path = folder().join(name);
    if path.is_file() {
        return Some(path);
    }
    warn_skipped(test, &path);
    None
}

#[expect(clippy::print_stderr, reason = "a skipped test must be seen, whatever the log level")]
fn warn_skipped(test: &str, path: &Path) {
    eprintln!("SKIPPED {test}: no {}; set ${VARIABLE} to the folder of recordings", path.display());
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_missing_sample_is_no_path() {
        assert_eq!(super::find("x/no-such-recording", "a_missing_sample_is_no_path"), None);
    }
}
