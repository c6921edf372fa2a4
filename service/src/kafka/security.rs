//! Encryption and authentication of the connection to Kafka: what can be set, what is wrong with it,
//! and the librdkafka options that it comes to.

use std::fs::File;
use std::path::{Path, PathBuf};

use rdkafka::ClientConfig;

use crate::secret::{Secret, SecretError};
use crate::settings::Section;

/// Encryption and authentication of the connection to Kafka.
#[derive(Debug, Clone, Default)]
pub struct Security {
    /// Encrypt with TLS.
    pub tls: bool,
    /// A CA file to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Who we are, shown to the brokers by TLS.
    pub certificate: Option<Certificate>,
    /// Who we are, shown to the brokers by SASL.
    pub sasl: Option<Sasl>,
}

/// A client certificate.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// PEM file with the certificate and those between it and the CA.
    pub cert_file: PathBuf,
    /// PEM file with the private key.
    pub key_file: PathBuf,
    /// What the private key is encrypted with.
    pub key_password: Option<Secret>,
}

/// How to log in.
#[derive(Debug, Clone)]
pub enum Sasl {
    /// A user name and a password.
    Password(Login),
    /// An AWS identity, as Amazon MSK takes it.
    Aws(AwsRole),
}

/// A user name and a password.
#[derive(Debug, Clone)]
pub struct Login {
    /// `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`.
    pub mechanism: &'static str,
    /// The user.
    pub username: String,
    /// The password.
    pub password: Secret,
}

/// An AWS identity.
#[derive(Debug, Clone)]
pub struct AwsRole {
    /// Region of the cluster.
    pub region: String,
    /// A key; without one the platform's role is used.
    pub key: Option<AwsKey>,
}

/// A key of an AWS user.
#[derive(Debug, Clone)]
pub struct AwsKey {
    /// The access key's id, which is no secret.
    pub id: String,
    /// The secret access key.
    pub secret: Secret,
}

#[derive(Clone, Copy)]
enum Mechanism {
    None,
    Password(&'static str),
    Aws,
}

const MECHANISMS: [(&str, Mechanism); 5] = [
    ("none", Mechanism::None),
    ("PLAIN", Mechanism::Password("PLAIN")),
    ("SCRAM-SHA-256", Mechanism::Password("SCRAM-SHA-256")),
    ("SCRAM-SHA-512", Mechanism::Password("SCRAM-SHA-512")),
    ("AWS_MSK_IAM", Mechanism::Aws),
];

impl Security {
    /// Reads the keys of the `[kafka]` table. `brokers` may tell the region.
    pub(super) fn read(kafka: &Section<'_>, brokers: &str) -> Self {
        let tls = kafka.get("tls", false);
        if tls && !cfg!(feature = "tls") {
            kafka.problem("tls", "this program was built without TLS; build it with --features tls");
        }
        let ca_file = readable(kafka, "ca_file");
        let certificate = Certificate::read(kafka);
        let given = [("ca_file", ca_file.is_some()), ("cert_file", certificate.is_some())];
        for (key, _) in given.into_iter().filter(|(_, given)| *given && !tls) {
            kafka.problem(key, "has no effect without tls = true; set that, or remove this");
        }
        Self { tls, ca_file, certificate, sasl: Sasl::read(kafka, brokers, tls) }
    }

    /// Sets what librdkafka needs to know.
    pub(super) fn apply(&self, config: &mut ClientConfig) {
        config.set("security.protocol", self.protocol());
        if self.tls {
            // Else librdkafka's own OpenSSL would look where no distribution keeps its CA certificates.
            let ca = self.ca_file.as_ref().map_or_else(|| "probe".to_owned(), |f| f.display().to_string());
            config.set("ssl.ca.location", ca);
        }
        if let Some(certificate) = &self.certificate {
            config.set("ssl.certificate.location", certificate.cert_file.display().to_string());
            config.set("ssl.key.location", certificate.key_file.display().to_string());
            if let Some(password) = &certificate.key_password {
                config.set("ssl.key.password", password.reveal());
            }
        }
        match &self.sasl {
            Some(Sasl::Password(login)) => {
                config.set("sasl.mechanism", login.mechanism);
                config.set("sasl.username", &login.username);
                config.set("sasl.password", login.password.reveal());
            }
            Some(Sasl::Aws(_)) => {
                config.set("sasl.mechanism", "OAUTHBEARER");
            }
            None => {}
        }
    }

    /// Reads the passwords anew and sets them. What cannot be read stays as it is.
    ///
    /// # Errors
    /// The first file that cannot be read.
    pub(super) fn renew(&self, config: &mut ClientConfig) -> Result<(), SecretError> {
        if let Some(Sasl::Password(login)) = &self.sasl {
            config.set("sasl.password", login.password.current()?.reveal());
        }
        if let Some(Certificate { key_password: Some(password), .. }) = &self.certificate {
            config.set("ssl.key.password", password.current()?.reveal());
        }
        Ok(())
    }

    /// What is valid and still unwise.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut warnings: Vec<_> = self.secrets().into_iter().filter_map(Secret::warning).collect();
        if let Some(certificate) = &self.certificate {
            warnings.extend(crate::secret::exposure(&certificate.key_file));
        }
        if let (false, Some(Sasl::Password(Login { mechanism: "PLAIN", .. }))) = (self.tls, &self.sasl) {
            warnings
                .push("kafka: PLAIN without tls = true sends the password readably over the network".into());
        }
        warnings
    }

    fn secrets(&self) -> Vec<&Secret> {
        let key = self.certificate.as_ref().and_then(|c| c.key_password.as_ref());
        let sasl = match &self.sasl {
            Some(Sasl::Password(login)) => Some(&login.password),
            Some(Sasl::Aws(role)) => role.key.as_ref().map(|key| &key.secret),
            None => None,
        };
        key.into_iter().chain(sasl).collect()
    }

    fn protocol(&self) -> &'static str {
        match (self.tls, self.sasl.is_some()) {
            (false, false) => "plaintext",
            (true, false) => "ssl",
            (false, true) => "sasl_plaintext",
            (true, true) => "sasl_ssl",
        }
    }
}

/// A file that must be there and readable now: librdkafka would only say so once it connects.
fn readable(kafka: &Section<'_>, key: &str) -> Option<PathBuf> {
    let path: PathBuf = kafka.optional(key)?;
    if let Err(error) = File::open(&path) {
        kafka.problem(key, &format!("cannot read {}: {error}", path.display()));
    }
    Some(path)
}

impl Certificate {
    fn read(kafka: &Section<'_>) -> Option<Self> {
        let cert_file = readable(kafka, "cert_file");
        let key_file = readable(kafka, "key_file");
        let key_password = kafka.secret("key_password");
        match (cert_file, key_file) {
            (Some(cert_file), Some(key_file)) => {
                check_key(kafka, &key_file, key_password.is_some());
                Some(Self { cert_file, key_file, key_password })
            }
            (None, None) => {
                if key_password.is_some() {
                    kafka.problem("", "key_password needs cert_file and key_file beside it");
                }
                None
            }
            (Some(_), None) => {
                kafka.problem("cert_file", "needs key_file beside it: the certificate's private key");
                None
            }
            (None, Some(_)) => {
                kafka.problem("key_file", "needs cert_file beside it: the key's certificate");
                None
            }
        }
    }
}

/// Without its password OpenSSL would ask for an encrypted key's on the terminal, and wait.
fn check_key(kafka: &Section<'_>, key_file: &Path, has_password: bool) {
    let Ok(text) = std::fs::read(key_file) else { return };
    let is_encrypted = text.windows(9).any(|w| w == b"ENCRYPTED");
    if is_encrypted
        && !has_password
        && !kafka.has("key_password_file")
        && !kafka.has("key_password_credential")
    {
        kafka.problem("key_file", "is encrypted; set key_password_file or key_password_credential");
    }
}

impl Sasl {
    fn read(kafka: &Section<'_>, brokers: &str, tls: bool) -> Option<Self> {
        let mechanism = kafka.choice("sasl_mechanism", &MECHANISMS);
        let username: Option<String> = kafka.optional("username");
        let password = kafka.secret("password");
        let region: Option<String> = kafka.optional("region");
        let key = AwsKey::read(kafka);
        let (has_login, has_aws) =
            (username.is_some() || has_secret(kafka, "password"), region.is_some() || key.is_some());
        if has_aws && !matches!(mechanism, Mechanism::Aws) {
            kafka.problem(
                "sasl_mechanism",
                "region and access_key_id belong to \"AWS_MSK_IAM\"; set that, or remove them",
            );
        }
        match mechanism {
            Mechanism::None if has_login => {
                kafka.problem(
                    "sasl_mechanism",
                    "missing beside username or password; set it, for example to \"SCRAM-SHA-512\"",
                );
                None
            }
            Mechanism::None => None,
            Mechanism::Password(mechanism) => {
                Login::new(kafka, mechanism, username, password).map(Self::Password)
            }
            Mechanism::Aws => {
                if has_login {
                    kafka.problem(
                        "sasl_mechanism",
                        "\"AWS_MSK_IAM\" takes no username and no password; remove them",
                    );
                }
                AwsRole::new(kafka, region, key, brokers, tls).map(Self::Aws)
            }
        }
    }
}

fn has_secret(kafka: &Section<'_>, key: &str) -> bool {
    kafka.has(&format!("{key}_file")) || kafka.has(&format!("{key}_credential"))
}

impl Login {
    fn new(
        kafka: &Section<'_>,
        mechanism: &'static str,
        username: Option<String>,
        password: Option<Secret>,
    ) -> Option<Self> {
        if mechanism.starts_with("SCRAM") && !cfg!(feature = "tls") {
            kafka.problem("sasl_mechanism", "SCRAM needs a program built with --features tls");
        }
        match (username, password) {
            (Some(username), Some(password)) => Some(Self { mechanism, username, password }),
            // A password's file that cannot be read is a problem already.
            (Some(_), None) if has_secret(kafka, "password") => None,
            _ => {
                kafka.problem("sasl_mechanism", "needs username and password_file (or password_credential)");
                None
            }
        }
    }
}

impl AwsRole {
    fn new(
        kafka: &Section<'_>,
        region: Option<String>,
        key: Option<AwsKey>,
        brokers: &str,
        tls: bool,
    ) -> Option<Self> {
        if !cfg!(feature = "aws") {
            kafka.problem(
                "sasl_mechanism",
                "this program was built without AWS; build it with --features aws",
            );
        }
        if !tls {
            kafka.problem(
                "sasl_mechanism",
                "\"AWS_MSK_IAM\" needs tls = true: a token must not be readable on the way",
            );
        }
        let environment =
            || ["AWS_REGION", "AWS_DEFAULT_REGION"].into_iter().find_map(|name| std::env::var(name).ok());
        let region = region.or_else(|| region_of(brokers)).or_else(environment);
        let is_region =
            |r: &String| !r.is_empty() && r.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        match region.filter(is_region) {
            Some(region) => Some(Self { region, key }),
            None => {
                kafka.problem("region", "missing, and the brokers' names do not tell it; add it, for example: region = \"eu-central-1\"");
                None
            }
        }
    }
}

impl AwsKey {
    fn read(kafka: &Section<'_>) -> Option<Self> {
        let id: Option<String> = kafka.optional("access_key_id");
        match (id, kafka.secret("secret_access_key")) {
            (Some(id), Some(secret)) => Some(Self { id, secret }),
            (None, None) => None,
            (Some(_), None) => {
                if !has_secret(kafka, "secret_access_key") {
                    kafka.problem(
                        "access_key_id",
                        "needs secret_access_key_file or secret_access_key_credential beside it",
                    );
                }
                None
            }
            (None, Some(_)) => {
                kafka.problem("", "a secret access key needs access_key_id beside it");
                None
            }
        }
    }
}

/// The region that the name of an MSK broker tells: `b-1.demo.a1b2c3.c2.kafka.eu-central-1.amazonaws.com`.
fn region_of(brokers: &str) -> Option<String> {
    let host = brokers.split(',').next()?.trim().split(':').next()?;
    let host = host.strip_suffix(".amazonaws.com.cn").or_else(|| host.strip_suffix(".amazonaws.com"))?;
    let (rest, region) = host.rsplit_once('.')?;
    let service = rest.rsplit_once('.').map_or(rest, |(_, service)| service);
    ["kafka", "kafka-serverless"].contains(&service).then(|| region.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_brokers_name_tells_the_region() {
        let of = |brokers| region_of(brokers);
        assert_eq!(
            of("b-1.demo.a1b2c3.c2.kafka.eu-central-1.amazonaws.com:9098,x:1").as_deref(),
            Some("eu-central-1")
        );
        assert_eq!(
            of("boot-x1.c3.kafka-serverless.us-east-2.amazonaws.com:9098").as_deref(),
            Some("us-east-2")
        );
        assert_eq!(of("b-1.demo.x.c2.kafka.cn-north-1.amazonaws.com.cn:9098").as_deref(), Some("cn-north-1"));
        assert_eq!(of("vpce-1.kafka.example.org:9098"), None);
        assert_eq!(of("ec2-1-2-3-4.eu-west-1.compute.amazonaws.com:9098"), None);
        assert_eq!(of(""), None);
    }
}
