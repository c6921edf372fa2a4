//! The token with which Amazon MSK takes an AWS identity: a signed request for `kafka-cluster:Connect`,
//! as text. Pure; the signature is that of the AWS crate.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SignatureLocation, SigningError, SigningSettings, sign,
};
use aws_sigv4::sign::v4;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use reqwest::Url;

/// How long the brokers take a token; they allow no more.
pub(super) const LIFETIME: Duration = Duration::from_secs(900);
const SERVICE: &str = "kafka-cluster";
const USER_AGENT: &str = concat!("spillway/", env!("CARGO_PKG_VERSION"));

/// Why there is no signature.
#[derive(Debug, thiserror::Error)]
pub(super) enum SignError {
    /// The region makes no host name.
    #[error("the region makes no host name")]
    Region(#[source] <Url as std::str::FromStr>::Err),
    /// The parameters are not complete.
    #[error("the parameters are not complete")]
    Parameters(#[source] v4::signing_params::BuildError),
    /// The signer refuses.
    #[error("the signer refuses")]
    Signer(#[source] SigningError),
}

/// The token for `region`, signed at `now`.
pub(super) fn token(region: &str, credentials: Credentials, now: SystemTime) -> Result<String, SignError> {
    // At trace level the signer logs what it signs, and a session token is a part of that.
    let quiet = tracing::subscriber::NoSubscriber::new();
    let url = tracing::subscriber::with_default(quiet, || signed_url(region, credentials, now))?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(url))
}

fn signed_url(region: &str, credentials: Credentials, now: SystemTime) -> Result<String, SignError> {
    let mut url = Url::parse(&format!("https://kafka.{region}.amazonaws.com/")).map_err(SignError::Region)?;
    url.query_pairs_mut().append_pair("Action", "kafka-cluster:Connect");
    let mut settings = SigningSettings::default();
    settings.signature_location = SignatureLocation::QueryParams;
    settings.expires_in = Some(LIFETIME);
    let identity = credentials.into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(SERVICE)
        .time(now)
        .settings(settings)
        .build()
        .map_err(SignError::Parameters)?
        .into();
    let request = SignableRequest::new("GET", url.as_str(), std::iter::empty(), SignableBody::Bytes(&[]))
        .map_err(SignError::Signer)?;
    let (instructions, _) = sign(request, &params).map_err(SignError::Signer)?.into_parts();
    // None of the values has a space, the one character that a form and an address write differently.
    url.query_pairs_mut().extend_pairs(instructions.params()).append_pair("User-Agent", USER_AGENT);
    Ok(url.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    // AWS's documented example key, and the signatures that AWS's own signer (PyPI
    // aws-msk-iam-sasl-signer-python 1.0.2 with botocore 1.44.5) gives for it at 2026-11-20T12:34:56Z.
    const ID: &str = "AKIAIOSFODNN7EXAMPLE";
    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    const SESSION: &str = "AQoDYXdzEJr//EXAMPLE+session/token==";
    const PLAIN: &str = "6ab187d059facc751c0ad1b9edeef1eebf7170604ab61e7792661ffb9ac5ba76";
    const WITH_SESSION: &str = "8fb597cc01de900003db0408bb598b0fedc59965a23e991a7c6e54cdef91d4fd";

    fn decoded(session: Option<&str>) -> Vec<(String, String)> {
        let credentials = Credentials::new(ID, SECRET, session.map(str::to_owned), None, "test");
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_178_096);
        let token = token("us-west-2", credentials, at).unwrap();
        assert!(token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "{token}");
        let url = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(token).unwrap()).unwrap();
        assert!(
            url.starts_with("https://kafka.us-west-2.amazonaws.com/?Action=kafka-cluster%3AConnect&"),
            "{url}"
        );
        Url::parse(&url).unwrap().query_pairs().into_owned().collect()
    }

    fn expected(session: Option<&str>, signature: &str) -> Vec<(String, String)> {
        let agent = concat!("spillway/", env!("CARGO_PKG_VERSION"));
        let session = session.map(|token| ("X-Amz-Security-Token", token));
        let mut pairs: Vec<_> = [
            ("Action", "kafka-cluster:Connect"),
            ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
            ("X-Amz-Credential", "AKIAIOSFODNN7EXAMPLE/20261120/us-west-2/kafka-cluster/aws4_request"),
            ("X-Amz-Date", "20261120T123456Z"),
            ("X-Amz-Expires", "900"),
            ("X-Amz-SignedHeaders", "host"),
            ("X-Amz-Signature", signature),
            ("User-Agent", agent),
        ]
        .into_iter()
        .chain(session)
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .collect();
        pairs.sort();
        pairs
    }

    #[test]
    fn the_token_is_the_one_of_awss_own_signer() {
        for (session, signature) in [(None, PLAIN), (Some(SESSION), WITH_SESSION)] {
            let mut pairs = decoded(session);
            pairs.sort();
            assert_eq!(pairs, expected(session, signature));
        }
    }
}
