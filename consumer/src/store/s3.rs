//! How a bucket of S3 is reached.

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey as Key, S3ConditionalPut};
use object_store::{BackoffConfig, ClientOptions, RetryConfig};

use super::{REQUEST_TIMEOUT, StoreSettings};

/// What names the platform's role; all of it says where credentials are, none of it is one.
const ROLE: [(&str, Key); 6] = [
    ("AWS_WEB_IDENTITY_TOKEN_FILE", Key::WebIdentityTokenFile),
    ("AWS_ROLE_ARN", Key::RoleArn),
    ("AWS_ROLE_SESSION_NAME", Key::RoleSessionName),
    ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", Key::ContainerCredentialsRelativeUri),
    ("AWS_CONTAINER_CREDENTIALS_FULL_URI", Key::ContainerCredentialsFullUri),
    ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", Key::ContainerAuthorizationTokenFile),
];

/// The settings as the client's. `env` looks up a variable of the environment.
pub(super) fn builder(
    settings: &StoreSettings,
    bucket: &str,
    env: impl Fn(&str) -> Option<String>,
) -> AmazonS3Builder {
    crate::tls::install();
    let retry =
        RetryConfig { backoff: BackoffConfig::default(), max_retries: 5, retry_timeout: REQUEST_TIMEOUT };
    let plain_http = settings.endpoint.as_ref().is_some_and(|url| url.starts_with("http://"));
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_client_options(ClientOptions::new().with_timeout(REQUEST_TIMEOUT).with_allow_http(plain_http))
        .with_retry(retry);
    if let Some(region) = &settings.region {
        builder = builder.with_region(region);
    }
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_endpoint(endpoint).with_virtual_hosted_style_request(false);
    }
    match &settings.access_key {
        Some(key) => builder.with_access_key_id(&key.id).with_secret_access_key(key.secret.reveal()),
        None => ROLE.into_iter().fold(builder, |builder, (name, key)| match env(name) {
            Some(value) => builder.with_config(key, value),
            None => builder,
        }),
    }
}

#[cfg(test)]
mod tests {
    use spillway_service::secret::Secret;

    use super::*;
    use crate::store::{AccessKey, Store, StoreUrl};

    fn settings() -> StoreSettings {
        let url = StoreUrl::S3 { bucket: "events".into(), prefix: "spillway".into() };
        StoreSettings { url, region: Some("eu-west-1".into()), endpoint: None, access_key: None }
    }

    fn value(builder: &AmazonS3Builder, key: Key) -> Option<String> {
        builder.get_config_value(&key)
    }

    #[test]
    fn an_access_key_is_used_and_the_environment_is_not() {
        let key = AccessKey { id: "AK".into(), secret: Secret::new("hunter2".into()) };
        let settings = StoreSettings { access_key: Some(key), ..settings() };
        let builder = builder(&settings, "events", |_| Some("x".into()));
        assert_eq!(value(&builder, Key::Bucket).as_deref(), Some("events"));
        assert_eq!(value(&builder, Key::Region).as_deref(), Some("eu-west-1"));
        assert_eq!(value(&builder, Key::AccessKeyId).as_deref(), Some("AK"));
        assert_eq!(value(&builder, Key::SecretAccessKey).as_deref(), Some("hunter2"));
        assert_eq!(value(&builder, Key::RoleArn), None);
        assert_eq!(value(&builder, Key::Endpoint), None);
    }

    #[test]
    fn without_a_key_the_platforms_role_is_used_and_no_secret_of_the_environment() {
        let builder = builder(&settings(), "events", |name| Some(format!("of {name}")));
        assert_eq!(value(&builder, Key::RoleArn).as_deref(), Some("of AWS_ROLE_ARN"));
        assert_eq!(
            value(&builder, Key::WebIdentityTokenFile).as_deref(),
            Some("of AWS_WEB_IDENTITY_TOKEN_FILE")
        );
        assert_eq!(value(&builder, Key::AccessKeyId), None);
        assert_eq!(value(&builder, Key::SecretAccessKey), None);
    }

    #[test]
    fn another_server_is_reached_by_path_and_plain_http_only_when_it_says_so() {
        let at = |endpoint: &str| {
            let settings = StoreSettings { endpoint: Some(endpoint.into()), ..settings() };
            builder(&settings, "events", |_| None)
        };
        let plain = at("http://127.0.0.1:9000");
        assert_eq!(value(&plain, Key::Endpoint).as_deref(), Some("http://127.0.0.1:9000"));
        assert_eq!(value(&plain, Key::VirtualHostedStyleRequest).as_deref(), Some("false"));
        assert_eq!(
            value(&plain, Key::Client(object_store::ClientConfigKey::AllowHttp)).as_deref(),
            Some("true")
        );
        let secure = at("https://store.test");
        assert_eq!(
            value(&secure, Key::Client(object_store::ClientConfigKey::AllowHttp)).as_deref(),
            Some("false")
        );
    }

    #[test]
    fn a_bucket_opens_below_its_prefix() {
        let key = AccessKey { id: "AK".into(), secret: Secret::new("hunter2".into()) };
        let store = Store::open(&StoreSettings { access_key: Some(key), ..settings() }).unwrap();
        assert_eq!(store.inner.to_string(), "PrefixObjectStore(spillway)");
        assert!(!format!("{store:?}").contains("hunter2"), "no secret is shown");
    }
}
