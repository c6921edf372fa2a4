//! The account's rules at X: reads, adds and deletes them over HTTP. No token is ever in an error.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde::{Deserialize, Serialize};
use spillway_service::errors::chain;
use spillway_service::exit::Exit;
use spillway_service::secret::Secret;
use spillway_service::units::{show_duration, show_time};

use super::Rule;
use crate::config::{HttpConfig, RuleConfig};
use crate::sources::http::{ClientError, client};

/// Longest wait for an answer; X takes seconds for a thousand rules.
const TIMEOUT: Duration = Duration::from_secs(30);
/// A thousand rules of a thousand characters, in JSON with escapes, are far below this.
const ANSWER_MAX_BYTES: usize = 32 << 20;

/// The account.
#[derive(Debug)]
pub struct Account {
    client: Client,
    url: String,
    token: Option<Secret>,
}

/// What X says against a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Complaint {
    /// The rule's value; none when it is about all.
    pub value: Option<String>,
    /// In X's words.
    pub text: String,
    /// Which kind of complaint it is.
    pub kind: Kind,
}

/// Kind of a complaint, by the type that X gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The account has the value already.
    Duplicate,
    /// The account would have too many rules.
    TooMany,
    /// The rule is not valid, or something else.
    Other,
}

/// Why X did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// There is no HTTP client.
    #[error("cannot ask X")]
    Client(#[from] ClientError),
    /// No answer.
    #[error("X cannot be reached at {url}: {cause}")]
    Unreachable {
        /// Where it was looked for.
        url: String,
        /// What happened.
        cause: String,
    },
    /// 401.
    #[error("X does not know the bearer token (401{0}); check source.bearer_token_file")]
    Unauthorized(String),
    /// 403.
    #[error("X does not allow it (403{0}); the plan of the token's app must include the filtered stream")]
    Forbidden(String),
    /// 429.
    #[error("X allows no more requests for now (429); try again {0}")]
    RateLimited(String),
    /// Another status.
    #[error("X answered {status}{detail}")]
    Status {
        /// The status.
        status: u16,
        /// What X says about it.
        detail: String,
    },
    /// An answer that makes no sense.
    #[error("X gave an answer that cannot be read: {0}")]
    Answer(String),
}

impl AccountError {
    /// The exit code that tells this failure from others.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Unreachable { .. } => Exit::Unreachable,
            Self::Unauthorized(_) | Self::Forbidden(_) => Exit::Refused,
            Self::Client(_) | Self::RateLimited(_) | Self::Status { .. } | Self::Answer(_) => Exit::Failed,
        }
    }
}

impl Kind {
    /// By the last part of the address that names the kind.
    fn of(address: &str) -> Self {
        match address.rsplit('/').next() {
            Some("duplicate-rules") => Self::Duplicate,
            Some("rule-cap") => Self::TooMany,
            _ => Self::Other,
        }
    }
}

#[derive(Deserialize)]
struct Answer {
    /// Rules; without ids in the answer to a dry run.
    data: Option<serde_json::Value>,
    #[serde(default)]
    meta: Meta,
    #[serde(default)]
    errors: Vec<Problem>,
    title: Option<String>,
    detail: Option<String>,
    #[serde(default, rename = "type")]
    kind: String,
}

impl Answer {
    /// Whether X refuses the request for the rules in it, and not for who asks or how.
    fn is_about_rules(&self) -> bool {
        Kind::of(&self.kind) == Kind::TooMany || self.errors.iter().any(|problem| problem.value.is_some())
    }

    /// With what is said about all rules as one problem more.
    fn with_complaint(mut self) -> Self {
        if self.errors.is_empty() {
            self.errors.push(Problem {
                title: self.title.take(),
                detail: self.detail.take(),
                kind: std::mem::take(&mut self.kind),
                ..Problem::default()
            });
        }
        self
    }
}

#[derive(Default, Deserialize)]
struct Meta {
    next_token: Option<String>,
}

#[derive(Default, Deserialize)]
struct Problem {
    value: Option<String>,
    title: Option<String>,
    detail: Option<String>,
    message: Option<String>,
    #[serde(default)]
    details: Vec<String>,
    #[serde(default, rename = "type")]
    kind: String,
}

impl From<Problem> for Complaint {
    fn from(problem: Problem) -> Self {
        let kind = Kind::of(&problem.kind);
        let details = (!problem.details.is_empty()).then(|| problem.details.join("; "));
        let text = details.or(problem.detail).or(problem.message).or(problem.title);
        Self { value: problem.value, text: text.unwrap_or_else(|| "no reason given".to_owned()), kind }
    }
}

#[derive(Serialize)]
struct Addition<'a> {
    value: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<&'a str>,
}

impl Account {
    /// The account that the source of `config` reads from: the rules are below the stream's own address.
    ///
    /// # Errors
    /// When the proxy or the CA file cannot be used, or the TLS setup fails.
    pub fn new(config: &HttpConfig) -> Result<Self, AccountError> {
        let client = client::build(config)?;
        let stream = config.url.reveal().split(['?', '#']).next().unwrap_or_default();
        let url = format!("{}/rules", stream.trim_end_matches('/'));
        Ok(Self { client, url, token: config.link.bearer_token.clone() })
    }

    /// All rules of the account.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub async fn list(&self) -> Result<Vec<Rule>, AccountError> {
        let mut rules = Vec::new();
        let mut query = String::new();
        loop {
            let answer = self.ask(self.client.get(format!("{}{query}", self.url))).await?;
            // An account without rules has no list.
            if let Some(data) = answer.data {
                let page: Result<Vec<Rule>, _> = serde_json::from_value(data);
                rules.extend(page.map_err(|error| AccountError::Answer(error.to_string()))?);
            }
            match answer.meta.next_token {
                Some(token) if token.bytes().all(|b| b.is_ascii_alphanumeric()) && !token.is_empty() => {
                    query = format!("?pagination_token={token}");
                }
                Some(token) => return Err(AccountError::Answer(format!("{token:?} as the next page"))),
                None => return Ok(rules),
            }
        }
    }

    /// Adds rules, or, with `dry_run`, asks whether they could be added.
    ///
    /// # Errors
    /// See [`AccountError`]; what X says against single rules is no error but the answer.
    pub async fn add(&self, rules: &[RuleConfig], dry_run: bool) -> Result<Vec<Complaint>, AccountError> {
        let add: Vec<_> =
            rules.iter().map(|rule| Addition { value: &rule.value, tag: rule.tag.as_deref() }).collect();
        let query = if dry_run { "?dry_run=true" } else { "" };
        self.post(query, &serde_json::json!({ "add": add })).await
    }

    /// Deletes rules.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub async fn delete(&self, rules: &[Rule]) -> Result<Vec<Complaint>, AccountError> {
        let ids: Vec<&str> = rules.iter().map(|rule| rule.id.as_str()).collect();
        self.post("", &serde_json::json!({ "delete": { "ids": ids } })).await
    }

    async fn post(&self, query: &str, body: &serde_json::Value) -> Result<Vec<Complaint>, AccountError> {
        let request = self.client.post(format!("{}{query}", self.url));
        let request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
        Ok(self.ask(request).await?.errors.into_iter().map(Complaint::from).collect())
    }

    async fn ask(&self, mut request: RequestBuilder) -> Result<Answer, AccountError> {
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.reveal());
        }
        let response = request.timeout(TIMEOUT).send().await.map_err(|error| self.unreachable(error))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = self.body(response).await?;
        let answer: Result<Answer, _> = serde_json::from_slice(&body);
        match answer {
            Ok(answer) if status.is_success() => Ok(answer),
            Ok(answer) if status.is_client_error() && answer.is_about_rules() => Ok(answer.with_complaint()),
            Err(error) if status.is_success() => Err(AccountError::Answer(error.to_string())),
            answer => Err(refusal(status, &headers, answer.ok().as_ref())),
        }
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>, AccountError> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreachable(error))? {
            body.extend_from_slice(&chunk);
            if body.len() > ANSWER_MAX_BYTES {
                return Err(AccountError::Answer(format!("it has more than {ANSWER_MAX_BYTES} bytes")));
            }
        }
        Ok(body)
    }

    fn unreachable(&self, error: reqwest::Error) -> AccountError {
        AccountError::Unreachable { url: self.url.clone(), cause: chain(&error.without_url()) }
    }
}

fn refusal(status: StatusCode, headers: &HeaderMap, answer: Option<&Answer>) -> AccountError {
    let told = answer.and_then(|a| {
        let first = a.errors.first();
        let inner = first.and_then(|e| e.message.as_ref().or(e.detail.as_ref()).or(e.title.as_ref()));
        inner.or(a.detail.as_ref()).or(a.title.as_ref())
    });
    let detail = told.map_or_else(String::new, |text| format!(": {text}"));
    match status {
        StatusCode::UNAUTHORIZED => AccountError::Unauthorized(detail),
        StatusCode::FORBIDDEN => AccountError::Forbidden(detail),
        StatusCode::TOO_MANY_REQUESTS => AccountError::RateLimited(again(headers, SystemTime::now())),
        _ => AccountError::Status { status: status.as_u16(), detail },
    }
}

/// When the next request is allowed, by `x-rate-limit-reset`: seconds since 1970.
fn again(headers: &HeaderMap, now: SystemTime) -> String {
    let reset = headers.get("x-rate-limit-reset").and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    let Some(reset) = reset else { return "in 15 minutes".to_owned() };
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let left = Duration::from_secs(reset.saturating_sub(now));
    format!("in {}, at {}", show_duration(left), show_time(reset.saturating_mul(1000)))
}
