//! Apache Spark on this machine: PySpark in an environment of its own, and beside it the jars of the
//! connector for Kafka, fetched once by Maven into the target folder. Nothing is fetched when it runs.
//!
//! It needs `python3` with its module `venv`, a JDK of version 17 or 21, and, the first time, Maven; 430 MB.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::cluster::{self, copy_dependencies};
use crate::python::{self, Venv, lock, target_dir};

const POM: &str = include_str!("../spark/pom.xml");
/// Written last: what stands beside it is whole.
const COMPLETE: &str = "complete";

/// Why there is no Spark.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// PySpark, or the folder for the jars.
    #[error("Spark cannot be installed")]
    Python(#[from] python::Error),
    /// A file or folder.
    #[error("cannot use {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The jars cannot be had.
    #[error("the connector of Spark for Kafka cannot be fetched")]
    Jars(#[from] cluster::Error),
}

/// A Spark that can read from Kafka.
#[derive(Debug, Clone)]
pub struct Spark {
    venv: Venv,
    jars: Vec<PathBuf>,
}

impl Spark {
    /// Takes Spark from the target folder, or fetches it.
    ///
    /// # Errors
    /// When Python or Maven is missing, or what they fetch.
    pub fn get() -> Result<Self, Error> {
        let venv = Venv::get("pyspark", &[&format!("pyspark=={}", version())])?;
        Ok(Self { venv, jars: connector()? })
    }

    /// A `spark-submit` with the connector, on `cores` threads of this machine. Options for it and the
    /// program with its arguments are added by the caller.
    #[must_use]
    pub fn submit(&self, cores: u8) -> Command {
        let mut command = Command::new(self.venv.python().with_file_name("spark-submit"));
        command.env("PYSPARK_PYTHON", self.venv.python()).env("SPARK_LOCAL_IP", "127.0.0.1");
        command.env_remove("SPARK_HOME").env_remove("PYTHONPATH").env("PYTHONNOUSERSITE", "1");
        let jars: Vec<_> = self.jars.iter().map(|jar| jar.to_string_lossy()).collect();
        command.args(["--master", &format!("local[{cores}]"), "--jars", &jars.join(",")]);
        command.args(["--conf", "spark.ui.enabled=false"]);
        command.stdin(Stdio::null());
        command
    }
}

/// The version of Spark, as the POM names it.
fn version() -> &'static str {
    let (_, after) = POM.split_once("<spark.version>").unwrap_or_default();
    after.split_once('<').unwrap_or_default().0
}

fn connector() -> Result<Vec<PathBuf>, Error> {
    let key = format!("{}-{:08x}", version(), crate::hash(POM.as_bytes()) >> 32);
    let dir = target_dir().join("spark").join(key);
    let (_lock, libs) = (lock(&dir)?, dir.join("libs"));
    if !dir.join(COMPLETE).exists() {
        write(&dir.join("pom.xml"), POM)?;
        copy_dependencies(&dir.join("pom.xml"), &libs)?;
        write(&dir.join(COMPLETE), "")?;
    }
    let unreadable = |source| Error::File { path: libs.clone(), source };
    let files: Result<Vec<_>, _> = std::fs::read_dir(&libs).map_err(unreadable)?.collect();
    Ok(files.map_err(unreadable)?.into_iter().map(|file| file.path()).collect())
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    std::fs::write(path, text).map_err(|source| Error::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_version_is_that_of_the_pom() {
        assert!(super::version().starts_with("4."), "{:?}", super::version());
    }
}
