//! The credentials that the platform gives its programs: a web identity (EKS), a container's (ECS, EKS
//! Pod Identity) or an instance's (IMDSv2). They are asked for by `object_store`, which the consumer
//! has in it anyway.
//!
//! The environment says where credentials are; a secret in it is not used, here as elsewhere.

use std::time::Duration;

use aws_credential_types::Credentials;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey as Key, AwsCredentialProvider};
use object_store::{BackoffConfig, ClientOptions, RetryConfig};
use tokio::runtime::Runtime;

use crate::errors::chain;

/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(10);

const WHERE: [(&str, Key); 8] = [
    ("AWS_WEB_IDENTITY_TOKEN_FILE", Key::WebIdentityTokenFile),
    ("AWS_ROLE_ARN", Key::RoleArn),
    ("AWS_ROLE_SESSION_NAME", Key::RoleSessionName),
    ("AWS_REGION", Key::Region),
    ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", Key::ContainerCredentialsRelativeUri),
    ("AWS_CONTAINER_CREDENTIALS_FULL_URI", Key::ContainerCredentialsFullUri),
    ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", Key::ContainerAuthorizationTokenFile),
    ("AWS_EC2_METADATA_SERVICE_ENDPOINT", Key::MetadataEndpoint),
];

/// Where the platform's credentials are.
pub(super) struct Platform {
    /// For people.
    pub(super) asked: String,
    found: Vec<(Key, String)>,
}

/// A provider that can be asked, at once and again.
pub(super) struct Source {
    provider: AwsCredentialProvider,
    runtime: Runtime,
}

impl Platform {
    /// As the environment of this process says.
    pub(super) fn of_process() -> Self {
        Self::of(|name| std::env::var(name).ok())
    }

    pub(super) fn of(env: impl Fn(&str) -> Option<String>) -> Self {
        let has = |name: &str| env(name).is_some();
        let place = if has("AWS_WEB_IDENTITY_TOKEN_FILE") && has("AWS_ROLE_ARN") {
            "the web identity of AWS_ROLE_ARN"
        } else if has("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") || has("AWS_CONTAINER_CREDENTIALS_FULL_URI") {
            "the container's role"
        } else {
            "the instance's role (IMDSv2)"
        };
        let hint = if has("AWS_SECRET_ACCESS_KEY") {
            "; AWS_SECRET_ACCESS_KEY in the environment is not used, set kafka.access_key_id and kafka.secret_access_key_file"
        } else {
            ""
        };
        let found = WHERE.into_iter().filter_map(|(name, key)| Some((key, env(name)?)));
        Self { asked: format!("{place}{hint}"), found: found.collect() }
    }

    pub(super) fn open(self) -> Result<Source, String> {
        // An error means that it was chosen already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let retry = RetryConfig { backoff: BackoffConfig::default(), max_retries: 1, retry_timeout: TIMEOUT };
        // Only the provider is used; a bucket must have a name.
        let builder = AmazonS3Builder::new()
            .with_bucket_name("none")
            .with_client_options(ClientOptions::new().with_timeout(TIMEOUT))
            .with_retry(retry);
        let builder =
            self.found.into_iter().fold(builder, |builder, (key, value)| builder.with_config(key, value));
        let store = builder.build().map_err(|error| chain(&error))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| format!("cannot start the I/O runtime: {error}"))?;
        Ok(Source { provider: store.credentials().clone(), runtime })
    }
}

impl Source {
    pub(super) fn ask(&self) -> Result<Credentials, String> {
        let answer = async { tokio::time::timeout(TIMEOUT, self.provider.get_credential()).await };
        let found = self
            .runtime
            .block_on(answer)
            .map_err(|_| format!("no answer within {TIMEOUT:?}"))?
            .map_err(|error| chain(&error))?;
        Ok(Credentials::new(&found.key_id, &found.secret_key, found.token.clone(), None, "spillway"))
    }
}
