//! Tokens for AWS: which credentials sign them, and how these are kept fresh.
//!
//! Credentials of the platform's role come over the network, which can hang. A thread of its own asks
//! for them, ahead of time and again; whoever needs a token takes what is there and signs it, which
//! takes microseconds. The thread starts with the first token and ends with the last client.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use aws_credential_types::Credentials;
use rdkafka::client::OAuthToken;

use super::access::TokenError;
use super::msk;
use super::security::AwsRole;
use crate::errors::chain;

mod platform;

use platform::Platform;

/// Every provider gives credentials that last at least this long.
const FRESH_FOR: Duration = Duration::from_secs(300);
/// How often the thread looks. The provider answers from its memory while that is fresh.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// A token lives at least this long when a client gets it, or it gets none.
const LEAST: Duration = Duration::from_secs(30);
const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(30);

/// See the module.
pub(super) struct Tokens {
    role: AwsRole,
    /// Set at the first token, unless there is a key.
    keeper: OnceLock<Arc<Keeper>>,
    platform: fn() -> Platform,
}

impl Tokens {
    pub(super) fn new(role: AwsRole) -> Self {
        Self { role, keeper: OnceLock::new(), platform: Platform::of_process }
    }

    /// A token; waits at most `patience` for the first credentials.
    pub(super) fn token(&self, patience: Duration) -> Result<OAuthToken, TokenError> {
        let (credentials, life) = match &self.role.key {
            Some(key) => {
                let secret = key.secret.current().map_err(|error| TokenError::Credentials {
                    asked: "secret_access_key".to_owned(),
                    cause: chain(&error),
                })?;
                (Credentials::new(&key.id, secret.reveal(), None, None, "spillway"), msk::LIFETIME)
            }
            None => self.keeper()?.credentials(patience)?,
        };
        let now = SystemTime::now();
        let token = msk::token(&self.role.region, credentials, now)
            .map_err(|error| TokenError::Sign(chain(&error)))?;
        let ends = now + life.min(msk::LIFETIME);
        let unix = ends.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Ok(OAuthToken {
            token,
            // Not sent; librdkafka wants one.
            principal_name: "aws-msk-iam".to_owned(),
            lifetime_ms: i64::try_from(unix.as_millis()).unwrap_or(i64::MAX),
        })
    }

    fn keeper(&self) -> Result<&Keeper, TokenError> {
        if let Some(keeper) = self.keeper.get() {
            return Ok(keeper);
        }
        let platform = (self.platform)();
        let keeper = Keeper::start(platform)?;
        // Whoever was first wins; the other's thread ends with it.
        Ok(self.keeper.get_or_init(|| keeper))
    }
}

/// Holds the platform's credentials.
struct Keeper {
    asked: String,
    held: Mutex<Held>,
    changed: Condvar,
}

/// What is known, with the clock as an argument.
#[derive(Default)]
struct Held {
    credentials: Option<(Credentials, Instant)>,
    failure: Option<String>,
    failures: u32,
}

impl Held {
    fn answered(&mut self, answer: Result<Credentials, String>, now: Instant) {
        match answer {
            Ok(credentials) => *self = Self { credentials: Some((credentials, now)), ..Self::default() },
            Err(cause) => {
                self.failure = Some(cause);
                self.failures = self.failures.saturating_add(1);
            }
        }
    }

    /// The credentials and how long they last at least.
    fn usable(&self, now: Instant) -> Option<(Credentials, Duration)> {
        let (credentials, since) = self.credentials.as_ref()?;
        let life = FRESH_FOR.checked_sub(now.saturating_duration_since(*since))?;
        (life >= LEAST).then(|| (credentials.clone(), life))
    }

    fn is_silent(&self, now: Instant) -> bool {
        self.failure.is_none() && self.usable(now).is_none()
    }

    /// When to ask again.
    fn wait(&self) -> Duration {
        match self.failures {
            0 => LOOK_EVERY,
            n => RETRY_MIN.saturating_mul(1 << (n - 1).min(8)).min(RETRY_MAX),
        }
    }
}

impl Keeper {
    fn start(platform: Platform) -> Result<Arc<Self>, TokenError> {
        let asked = platform.asked.clone();
        let failed = |cause: String| TokenError::Credentials { asked: asked.clone(), cause };
        let source = platform.open().map_err(&failed)?;
        let keeper = Arc::new(Self { asked: asked.clone(), held: Mutex::default(), changed: Condvar::new() });
        let weak = Arc::downgrade(&keeper);
        let work = move || {
            loop {
                let answer = source.ask();
                let Some(keeper) = weak.upgrade() else { return };
                let wait = keeper.answered(answer);
                drop(keeper);
                std::thread::sleep(wait);
            }
        };
        std::thread::Builder::new()
            .name("credentials".to_owned())
            .spawn(work)
            .map_err(|error| failed(format!("cannot start a thread: {error}")))?;
        Ok(keeper)
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answered(&self, answer: Result<Credentials, String>) -> Duration {
        if let Err(cause) = &answer {
            tracing::warn!(
                event = "credentials_failed",
                asked = self.asked,
                cause,
                "no AWS credentials; asking again"
            );
        }
        let mut held = self.lock();
        held.answered(answer, Instant::now());
        self.changed.notify_all();
        held.wait()
    }

    fn credentials(&self, patience: Duration) -> Result<(Credentials, Duration), TokenError> {
        let silent = |held: &mut Held| held.is_silent(Instant::now());
        let (held, _) = self
            .changed
            .wait_timeout_while(self.lock(), patience, silent)
            .unwrap_or_else(PoisonError::into_inner);
        let asked = || self.asked.clone();
        match (held.usable(Instant::now()), &held.failure) {
            (Some(usable), _) => Ok(usable),
            (None, Some(cause)) => Err(TokenError::Credentials { asked: asked(), cause: cause.clone() }),
            (None, None) => Err(TokenError::Pending { asked: asked() }),
        }
    }
}

#[cfg(test)]
mod tests;
