//! `moto` as a process. It ends with its handle, and also when the test is killed: it reads its input,
//! which ends then.
//!
//! moto looks whether an object exists and then writes it, and Python may run another thread in between:
//! with nothing done about it 3 of 300 races had two winners when threads change often. So its puts are
//! taken one at a time here; and threads do change often, so that a race that is left would show.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};

use super::Error;
use crate::python::Venv;

/// One release, since the program reaches into it.
const PACKAGES: [&str; 1] = ["moto[server]==5.2.5"];
/// Starts the server on a free port, says the port, and ends when there is nothing more to read.
const PROGRAM: &str = "
import sys, threading
from moto.s3.responses import S3Response
from moto.server import ThreadedMotoServer
put, turn = S3Response.put_object, threading.Lock()
def put_object(self):
    with turn:
        return put(self)
S3Response.put_object = put_object
sys.setswitchinterval(1e-5)
server = ThreadedMotoServer(ip_address='127.0.0.1', port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
server.stop()
";

/// A running server.
#[derive(Debug)]
pub struct Moto {
    child: Child,
    port: u16,
}

impl Moto {
    /// Starts a server of its own and returns when it listens. The first call on a machine installs it.
    ///
    /// # Errors
    /// When it cannot be installed or does not start.
    pub fn start() -> Result<Self, Error> {
        let venv = Venv::get("moto", &PACKAGES)?;
        let mut command = Command::new(venv.python());
        command.args(["-c", PROGRAM]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        // Requests are answered whatever the machine's own settings are.
        command.env("AWS_EC2_METADATA_DISABLED", "true").env_remove("PYTHONPATH");
        let child = crate::children::spawn(&mut command).map_err(|error| Error::Moto(error.to_string()))?;
        let mut moto = Self { child, port: 0 };
        moto.port = moto.said_port()?;
        Ok(moto)
    }

    /// Waits for the line that says the port. It ends when the process does.
    fn said_port(&mut self) -> Result<u16, Error> {
        let Some(stdout) = self.child.stdout.take() else {
            return Err(Error::Moto("it has no output".into()));
        };
        let mut line = String::new();
        let read = BufReader::new(stdout.take(64)).read_line(&mut line);
        read.map_err(|error| Error::Moto(error.to_string()))?;
        line.trim().parse().map_err(|_| Error::Moto(format!("instead of a port it said {line:?}")))
    }

    /// As `http://host:port`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        // Nothing in it is needed any more; a failure means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
