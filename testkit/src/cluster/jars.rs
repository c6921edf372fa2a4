//! The jars of Kafka: fetched once by Maven into the target folder, with the administrator compiled
//! beside them, and shared by every test that comes later.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{FlockOperation, flock};

use super::error::Error;

const POM: &str = include_str!("../../kafka/pom.xml");
const ADMIN: &str = include_str!("../../kafka/Admin.java");
/// Written last: what stands beside it is whole.
const COMPLETE: &str = "complete";

/// A folder with Kafka's jars and the compiled administrator.
#[derive(Debug, Clone)]
pub(super) struct Jars {
    dir: PathBuf,
}

impl Jars {
    /// Takes the jars from the target folder, or has Maven fetch them: about 15 s and 50 MB, once.
    pub(super) fn get() -> Result<Self, Error> {
        let key = format!("{}-{:08x}", version(), crate::hash([POM, ADMIN].concat().as_bytes()) >> 32);
        let dir = cache_dir().join(key);
        let jars = Self { dir };
        let _lock = lock(&jars.dir)?;
        if !jars.dir.join(COMPLETE).exists() {
            jars.fetch()?;
            write(&jars.dir.join(COMPLETE), "")?;
        }
        Ok(jars)
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// For `java -cp`.
    pub(super) fn classpath(&self) -> String {
        format!("{}:{}", self.dir.join("classes").display(), self.dir.join("libs/*").display())
    }

    fn fetch(&self) -> Result<(), Error> {
        let (pom, source) = (self.dir.join("pom.xml"), self.dir.join("Admin.java"));
        write(&pom, POM)?;
        write(&source, ADMIN)?;
        copy_dependencies(&pom, &self.dir.join("libs"))?;
        let mut javac = Command::new("javac");
        javac.arg("-nowarn").arg("-cp").arg(self.dir.join("libs/*"));
        javac.arg("-d").arg(self.dir.join("classes")).arg(&source);
        run(
            "javac",
            "install a JDK of version 17 or newer, for example the package openjdk-17-jdk-headless",
            &mut javac,
        )
    }
}

/// Has Maven fetch the jars that a POM names, and those that they need, into `libs`.
pub(crate) fn copy_dependencies(pom: &Path, libs: &Path) -> Result<(), Error> {
    let mut maven = Command::new("mvn");
    maven.arg("-q").arg("-B").arg("-f").arg(pom).arg("dependency:copy-dependencies");
    maven.arg(format!("-DoutputDirectory={}", libs.display())).arg("-DincludeScope=runtime");
    run("mvn", "install Maven, for example the package maven", &mut maven)
}

/// The version of Kafka, as the POM names it.
pub(super) fn version() -> &'static str {
    let (_, after) = POM.split_once("<kafka.version>").unwrap_or_default();
    after.split_once('<').unwrap_or_default().0
}

/// `kafka/` in the target folder that this program was built into.
pub(super) fn cache_dir() -> PathBuf {
    crate::python::target_dir().join("kafka")
}

/// Makes `dir` and locks it against other processes until the file is dropped.
pub(super) fn lock(dir: &Path) -> Result<std::fs::File, Error> {
    std::fs::create_dir_all(dir).map_err(Error::file("create", dir))?;
    let path = dir.join("lock");
    let file = std::fs::File::create(&path).map_err(Error::file("create", &path))?;
    flock(&file, FlockOperation::LockExclusive).map_err(|e| Error::file("lock", &path)(e.into()))?;
    Ok(file)
}

/// Runs a program to its end.
pub(super) fn run(program: &'static str, hint: &'static str, command: &mut Command) -> Result<(), Error> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|source| Error::Program { program, hint, source })?;
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let end: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).take(12).collect();
    Err(Error::Failed { program, status: output.status, output: end.join("\n") })
}

pub(super) fn write(path: &Path, text: &str) -> Result<(), Error> {
    std::fs::write(path, text).map_err(Error::file("write", path))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_version_is_that_of_the_pom() {
        assert!(super::version().starts_with("4."), "{:?}", super::version());
    }
}
