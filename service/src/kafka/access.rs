//! What all Kafka clients of one program share to log in: the credentials as they are now, tokens, and
//! one voice that tells an operator why the brokers refuse us.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::client::OAuthToken;
use rdkafka::error::KafkaError;

use super::complaints::Complaints;
use super::{Refusal, Security};
#[cfg(feature = "aws")]
use super::{Sasl, tokens::Tokens};
use crate::errors::chain;

/// See the module. Clones share everything.
#[derive(Clone)]
pub struct Access(Arc<Inner>);

struct Inner {
    security: Security,
    complaints: Mutex<Complaints>,
    #[cfg(feature = "aws")]
    tokens: Option<Tokens>,
}

/// Why there is no token. librdkafka asks again ten seconds later; the text reaches the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The credentials have been asked for, and the answer is not there yet.
    #[error("no AWS credentials yet: {asked} has not answered")]
    Pending {
        /// Where they are asked for.
        asked: String,
    },
    /// They cannot be had.
    #[error("no AWS credentials: {asked}: {cause}")]
    Credentials {
        /// Where they were asked for.
        asked: String,
        /// What came back.
        cause: String,
    },
    /// They cannot be signed with.
    #[error("the AWS token cannot be signed: {0}")]
    Sign(String),
    /// The settings ask for no token.
    #[error("the settings ask for no token")]
    NotAsked,
}

impl Access {
    pub(super) fn new(security: Security) -> Self {
        #[cfg(feature = "aws")]
        let tokens = match &security.sasl {
            Some(Sasl::Aws(role)) => Some(Tokens::new(role.clone())),
            _ => None,
        };
        Self(Arc::new(Inner {
            security,
            complaints: Mutex::default(),
            #[cfg(feature = "aws")]
            tokens,
        }))
    }

    pub(super) fn security(&self) -> &Security {
        &self.0.security
    }

    /// `config` with the passwords as their files have them now, so that a mended or renewed credential
    /// is used by the next client that is created. Certificates are read by librdkafka each time.
    #[must_use]
    pub fn renewed(&self, config: &ClientConfig) -> ClientConfig {
        let mut renewed = config.clone();
        if let Err(error) = self.0.security.renew(&mut renewed) {
            tracing::warn!(
                event = "secret_unreadable",
                error = chain(&error),
                "a secret cannot be read again; the last one is used"
            );
        }
        renewed
    }

    /// A token for a client that logs in with OAUTHBEARER, for `ClientContext::generate_oauth_token`.
    /// Waits at most `patience` for credentials that are being asked for right now; zero never waits.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub fn token(&self, patience: Duration) -> Result<OAuthToken, TokenError> {
        #[cfg(feature = "aws")]
        if let Some(tokens) = &self.0.tokens {
            return tokens.token(patience);
        }
        let _ = patience;
        Err(TokenError::NotAsked)
    }

    /// Tells the operator when `error` means that the brokers and we do not accept each other. Each kind
    /// is told once, and again after a while: clients that try again would repeat it every second.
    pub fn heard(&self, error: &KafkaError, reason: &str) {
        let Some(refusal) = Refusal::of(error) else { return };
        let mut complaints = self.0.complaints.lock().unwrap_or_else(PoisonError::into_inner);
        if complaints.is_due(refusal, Instant::now()) {
            tracing::error!(
                event = "kafka_refused",
                refusal = refusal.name(),
                cause = reason,
                "{}",
                refusal.advice(&self.0.security)
            );
        }
    }

    /// Says that the brokers accept us again: the next refusal is news.
    pub fn accepted(&self) {
        self.0.complaints.lock().unwrap_or_else(PoisonError::into_inner).forget();
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Access").field(&self.0.security).finish()
    }
}
