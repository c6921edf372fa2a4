//! Keys and certificates for TLS, made once by the JDK's keytool and kept beside the jars: an authority,
//! the brokers' certificate, and one for a client.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::error::Error;
use super::jars::{cache_dir, lock, run, write};

/// For all stores; they protect nothing but loopback.
const PASSWORD: &str = "spillway-store";
/// Names that the brokers' certificate is valid for. Part of the folder's name: a change makes new ones.
const NAMES: &str = "san=dns:localhost,ip:127.0.0.1,dns:broker.spillway.test";
const COMPLETE: &str = "complete";

/// The folder with the keys.
#[derive(Debug, Clone)]
pub(super) struct Tls {
    dir: PathBuf,
}

impl Tls {
    /// Takes the keys from the target folder or makes them: about 4 s, once.
    pub(super) fn get() -> Result<Self, Error> {
        let dir = cache_dir().join(format!("tls-{:08x}", crate::hash(NAMES.as_bytes()) >> 32));
        let tls = Self { dir };
        let _lock = lock(&tls.dir)?;
        if !tls.dir.join(COMPLETE).exists() {
            tls.make()?;
            write(&tls.dir.join(COMPLETE), "")?;
        }
        Ok(tls)
    }

    pub(super) fn ca_file(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    pub(super) fn truststore(&self) -> PathBuf {
        self.dir.join("trust.p12")
    }

    pub(super) fn broker_keystore(&self) -> PathBuf {
        self.dir.join("broker.p12")
    }

    pub(super) fn client_keystore(&self) -> PathBuf {
        self.dir.join("client.p12")
    }

    pub(super) fn password(&self) -> &'static str {
        PASSWORD
    }

    fn make(&self) -> Result<(), Error> {
        // What an interrupted attempt left would be taken for keys of this authority.
        for name in ["authority", "broker", "client", "trust"] {
            let path = self.dir.join(format!("{name}.p12"));
            match std::fs::remove_file(&path) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::file("remove", path)(e));
                }
                _ => {}
            }
        }
        self.key_pair("authority", &["-ext", "bc:c=ca:true", "-ext", "ku:c=keyCertSign"])?;
        self.keytool("authority", &["-exportcert", "-rfc", "-alias", "authority", "-file", "ca.pem"])?;
        self.import("trust", "authority", "ca.pem")?;
        self.signed("broker", &["-ext", NAMES])?;
        self.signed("client", &[])
    }

    /// A key pair in a store of its own, certified by the authority.
    fn signed(&self, name: &str, extensions: &[&str]) -> Result<(), Error> {
        let (request, certificate) = (format!("{name}.csr"), format!("{name}.pem"));
        self.key_pair(name, &[])?;
        self.keytool(name, &["-certreq", "-alias", name, "-file", &request])?;
        let sign = [
            "-gencert",
            "-rfc",
            "-alias",
            "authority",
            "-validity",
            "3650",
            "-infile",
            &request,
            "-outfile",
            &certificate,
        ];
        self.keytool("authority", &[&sign[..], extensions].concat())?;
        self.import(name, "authority", "ca.pem")?;
        self.import(name, name, &certificate)
    }

    fn key_pair(&self, name: &str, extensions: &[&str]) -> Result<(), Error> {
        let subject = format!("CN=spillway-{name}");
        let pair = [
            "-genkeypair",
            "-alias",
            name,
            "-keyalg",
            "EC",
            "-groupname",
            "secp256r1",
            "-validity",
            "3650",
            "-dname",
            &subject,
        ];
        self.keytool(name, &[&pair[..], extensions].concat())
    }

    fn import(&self, store: &str, alias: &str, file: &str) -> Result<(), Error> {
        self.keytool(store, &["-importcert", "-noprompt", "-alias", alias, "-file", file])
    }

    fn keytool(&self, store: &str, arguments: &[&str]) -> Result<(), Error> {
        let mut keytool = Command::new("keytool");
        keytool.current_dir(&self.dir).arg("-J-XX:TieredStopAtLevel=1").args(arguments);
        keytool
            .args(["-storetype", "PKCS12", "-storepass", PASSWORD, "-keystore"])
            .arg(format!("{store}.p12"));
        run("keytool", "install a JDK of version 17 or newer", &mut keytool)
    }
}

/// TLS files of a cluster, for clients.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The authority that signed the brokers' certificate, PEM.
    pub ca_file: PathBuf,
    /// A key and certificate for a client, PKCS#12.
    pub client_keystore: PathBuf,
    /// The password of the store.
    pub password: &'static str,
}

impl TlsFiles {
    pub(super) fn of(tls: &Tls) -> Self {
        Self { ca_file: tls.ca_file(), client_keystore: tls.client_keystore(), password: tls.password() }
    }

    pub(super) fn ca(&self) -> &Path {
        &self.ca_file
    }
}
