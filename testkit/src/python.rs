//! Python programs that tests use as servers and as second opinions: a virtual environment with pinned
//! packages, made once in the target folder and shared by all tests.
//!
//! It needs `python3` with its module `venv` and, the first time, a package index. What is there is used
//! again; a set of packages that changes gets a folder of its own. Processes never see a half-made one.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{FlockOperation, flock};

/// Written last: what stands beside it is whole.
const COMPLETE: &str = "complete";

/// Why there is no environment.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was to be done.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A program cannot be started.
    #[error("cannot run {program}; python3 with the module venv is needed")]
    Start {
        /// Which.
        program: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A program failed.
    #[error("{program} failed:\n{output}")]
    Failed {
        /// Which.
        program: String,
        /// The end of what it said.
        output: String,
    },
}

/// An environment.
#[derive(Debug, Clone)]
pub struct Venv {
    dir: PathBuf,
}

impl Venv {
    /// The environment `name` with these packages (`name==version`); made when it is not there.
    ///
    /// # Errors
    /// When Python is missing or the packages cannot be installed.
    pub fn get(name: &str, packages: &[&str]) -> Result<Self, Error> {
        let key = crate::hash(packages.join(" ").as_bytes()) >> 32;
        let dir = target_dir().join("python").join(format!("{name}-{key:08x}"));
        let venv = Self { dir };
        let _lock = lock(&venv.dir)?;
        if !venv.dir.join(COMPLETE).exists() {
            run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(venv.dir.join("venv")))?;
            run(Command::new(venv.python()).args(["-m", "pip", "install", "--quiet"]).args(packages))?;
            let complete = venv.dir.join(COMPLETE);
            let file = |source| Error::File { action: "write", path: complete.clone(), source };
            std::fs::write(&complete, packages.join("\n")).map_err(file)?;
        }
        Ok(venv)
    }

    /// Its interpreter.
    #[must_use]
    pub fn python(&self) -> PathBuf {
        self.dir.join("venv/bin/python")
    }

    /// Runs a program, given as text, to its end; what it printed to standard output.
    ///
    /// # Errors
    /// When it cannot be started, or fails.
    pub fn run(&self, program: &str, arguments: &[&Path]) -> Result<Vec<u8>, Error> {
        let mut command = Command::new(self.python());
        run(command.arg("-c").arg(program).args(arguments))
    }
}

/// The target folder that this program was built into.
pub(crate) fn target_dir() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    let target = program.ancestors().find(|dir| dir.join("CACHEDIR.TAG").exists());
    let fallback = || Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("target");
    target.map_or_else(fallback, Path::to_path_buf)
}

/// Makes `dir` and locks it against other processes until the file is dropped.
pub(crate) fn lock(dir: &Path) -> Result<std::fs::File, Error> {
    let failed = |action, path: &Path| {
        let path = path.to_owned();
        move |source| Error::File { action, path, source }
    };
    std::fs::create_dir_all(dir).map_err(failed("create", dir))?;
    let path = dir.join("lock");
    let file = std::fs::File::create(&path).map_err(failed("create", &path))?;
    flock(&file, FlockOperation::LockExclusive).map_err(|e| failed("lock", &path)(e.into()))?;
    Ok(file)
}

fn run(command: &mut Command) -> Result<Vec<u8>, Error> {
    // Its own settings and packages only, and nothing written beside the sources.
    command.env_remove("PYTHONPATH").env("PYTHONNOUSERSITE", "1").env("PYTHONUTF8", "1");
    let program = PathBuf::from(command.get_program());
    let output = crate::children::output(command.stdin(Stdio::null()));
    let output = output.map_err(|source| Error::Start { program: program.clone(), source })?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = text.lines().collect();
    let end = lines[lines.len().saturating_sub(30)..].join("\n");
    Err(Error::Failed { program: program.display().to_string(), output: format!("{}\n{end}", output.status) })
}
