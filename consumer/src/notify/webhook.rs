//! A notification as a POST of JSON. Any answer of 2xx has taken it.

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode, Url};

use super::Webhook;
use super::courier::Target;

/// How long a request may take in all.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why a webhook cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// The token cannot stand in a header.
    #[error("the token of the webhook has characters that a header cannot have")]
    Token,
    /// The URL is none.
    #[error("{url:?} is no URL")]
    Url {
        /// What it says.
        url: String,
    },
    /// The HTTP client cannot be made.
    #[error("the HTTP client cannot be made")]
    Client(#[source] reqwest::Error),
}

/// Why a notification was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum HookError {
    /// No answer came.
    #[error("the webhook did not answer")]
    Request(#[source] reqwest::Error),
    /// It did not want it.
    #[error("the webhook answered {0}")]
    Status(StatusCode),
}

/// See the module.
#[derive(Debug)]
pub(super) struct Hook {
    client: Client,
    url: Url,
    authorization: Option<HeaderValue>,
}

impl Hook {
    pub(super) fn new(settings: &Webhook) -> Result<Self, WebhookError> {
        crate::tls::install();
        let url = Url::parse(&settings.url).map_err(|_| WebhookError::Url { url: settings.url.clone() })?;
        let authorization = match &settings.token {
            Some(token) => {
                let value = HeaderValue::from_str(&format!("Bearer {}", token.reveal()));
                let mut value = value.map_err(|_| WebhookError::Token)?;
                value.set_sensitive(true);
                Some(value)
            }
            None => None,
        };
        // A redirect could lead the token elsewhere.
        let client = Client::builder().timeout(TIMEOUT).redirect(Policy::none()).build();
        Ok(Self { client: client.map_err(WebhookError::Client)?, url, authorization })
    }
}

impl Target for Hook {
    type Error = HookError;

    async fn deliver(&self, _: &str, json: Vec<u8>) -> Result<(), HookError> {
        let mut request =
            self.client.post(self.url.clone()).header(CONTENT_TYPE, "application/json").body(json);
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        // A URL may carry a secret, so it is not part of what is logged.
        let answer = request.send().await.map_err(|error| HookError::Request(error.without_url()))?;
        if answer.status().is_success() { Ok(()) } else { Err(HookError::Status(answer.status())) }
    }
}
