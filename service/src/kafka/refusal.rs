//! What librdkafka's error codes say about security, and what an operator can do about it.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use super::{Sasl, Security};

/// Why the brokers and we do not accept each other. Waiting mends none of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The TLS handshake fails.
    Tls,
    /// The brokers refuse our login, or there is no token to log in with.
    Login,
    /// We are known and may not do this.
    Rights,
    /// There is no client: a certificate, a key or an option is wrong.
    Client,
}

impl Refusal {
    /// The refusal that the error is; none when it is something else.
    #[must_use]
    pub fn of(error: &KafkaError) -> Option<Self> {
        if matches!(error, KafkaError::ClientCreation(_) | KafkaError::ClientConfig(..)) {
            return Some(Self::Client);
        }
        match error.rdkafka_error_code()? {
            Code::SSL => Some(Self::Tls),
            Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::UnsupportedSASLMechanism
            | Code::IllegalSASLState => Some(Self::Login),
            Code::TopicAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed => Some(Self::Rights),
            _ => None,
        }
    }

    /// A word for the log's fields.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::Login => "login",
            Self::Rights => "rights",
            Self::Client => "client",
        }
    }

    /// What is wrong and what to do.
    pub(super) fn advice(self, security: &Security) -> &'static str {
        match (self, &security.sasl) {
            (Self::Tls, _) if security.certificate.is_some() => {
                "the TLS handshake with Kafka fails; check kafka.ca_file, kafka.cert_file and kafka.key_file, and the names in the brokers' certificates"
            }
            (Self::Tls, _) if security.ca_file.is_some() => {
                "the TLS handshake with Kafka fails; check that kafka.ca_file is the CA of the brokers' certificates, and the names in those"
            }
            (Self::Tls, _) => {
                "the TLS handshake with Kafka fails; if the brokers' certificates are of a CA of your own, set kafka.ca_file"
            }
            (Self::Login, Some(Sasl::Password(_))) => {
                "Kafka refuses the login; check kafka.sasl_mechanism, kafka.username and the password's file, which is read again at the next attempt"
            }
            (Self::Login, Some(Sasl::Aws(_))) => {
                "no login to Kafka with AWS IAM; check the role or access key, its policy (kafka-cluster:Connect) and the clock"
            }
            (Self::Login, None) => "Kafka wants a login; set kafka.sasl_mechanism, or a client certificate",
            (Self::Client, _) if security.certificate.is_some() => {
                "no Kafka client can be set up; check kafka.cert_file, kafka.key_file, the key's password and kafka.options"
            }
            (Self::Client, _) => "no Kafka client can be set up; check kafka.ca_file and kafka.options",
            (Self::Rights, _) => {
                "Kafka denies the right to do this; grant our user what docs/security.md lists"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_tell_what_is_refused() {
        let of = |code| Refusal::of(&KafkaError::Global(code));
        assert_eq!(of(Code::SSL), Some(Refusal::Tls));
        assert_eq!(of(Code::Authentication), Some(Refusal::Login));
        assert_eq!(of(Code::TopicAuthorizationFailed), Some(Refusal::Rights));
        assert_eq!(of(Code::AllBrokersDown), None);
        assert_eq!(Refusal::of(&KafkaError::ClientCreation("ssl".into())), Some(Refusal::Client));
    }
}
