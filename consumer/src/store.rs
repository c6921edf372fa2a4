//! Where the tables go: a local folder or a bucket of S3, through one interface.
//!
//! Objects are created, never replaced, and at start a probe makes sure that the store really refuses
//! to create one twice: everything that keeps a window from being written double rests on it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
#[cfg(feature = "s3")]
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use spillway_service::secret::Secret;

mod figures;
mod probe;
#[cfg(feature = "s3")]
mod s3;

#[cfg(test)]
pub(crate) use figures::Meter;
pub(crate) use figures::Requested;
pub use figures::Requests;

/// Which store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// A local folder; it is created when it does not exist.
    Local(PathBuf),
    /// A bucket of S3.
    S3 {
        /// The bucket.
        bucket: String,
        /// What all objects' names begin with; may be empty.
        prefix: String,
    },
}

/// Which store, and how it is reached.
#[derive(Debug, Clone)]
pub struct StoreSettings {
    /// Which store.
    pub url: StoreUrl,
    /// Region of the bucket.
    pub region: Option<String>,
    /// Another server than Amazon's that speaks S3, as `https://host:port`; the bucket goes into the
    /// path.
    pub endpoint: Option<String>,
    /// The access key; without one the platform's role is used (instance, container or web identity).
    pub access_key: Option<AccessKey>,
}

/// An access key of S3.
#[derive(Debug, Clone)]
pub struct AccessKey {
    /// Its id.
    pub id: String,
    /// Its secret.
    pub secret: Secret,
}

/// What `url` cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no store; use a path, \"file:///path\" or \"s3://bucket/prefix\"")]
pub struct BadStoreUrl(String);

impl StoreUrl {
    /// Reads `s3://bucket/prefix`, `file:///path` or a path.
    ///
    /// # Errors
    /// When it is none of these.
    pub fn parse(text: &str) -> Result<Self, BadStoreUrl> {
        let bad = || BadStoreUrl(text.to_owned());
        if let Some(rest) = text.strip_prefix("s3://") {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            let prefix = Path::parse(prefix.trim_matches('/')).map_err(|_| bad())?;
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-._".contains(c);
            return match bucket {
                "" => Err(bad()),
                bucket if bucket.chars().all(plain) => {
                    Ok(Self::S3 { bucket: bucket.to_owned(), prefix: prefix.into() })
                }
                _ => Err(bad()),
            };
        }
        match text.strip_prefix("file://") {
            Some(path) if path.starts_with('/') => Ok(Self::Local(path.into())),
            None if !text.is_empty() && !text.contains("://") => Ok(Self::Local(text.into())),
            _ => Err(bad()),
        }
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(path) => write!(f, "{}", path.display()),
            Self::S3 { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Self::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

impl StoreSettings {
    /// A local folder.
    pub fn local(path: impl Into<PathBuf>) -> Self {
        Self { url: StoreUrl::Local(path.into()), region: None, endpoint: None, access_key: None }
    }
}

/// Why something with the store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The folder cannot be created.
    #[error("cannot create the store's folder {}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The settings do not make a store.
    #[error("cannot open the store {url}")]
    Open {
        /// The store.
        url: String,
        /// Why.
        source: object_store::Error,
    },
    /// The program was built without the feature that this store needs.
    #[error("the store {url} needs a program built with --features s3")]
    NotBuilt {
        /// The store.
        url: String,
    },
    /// An object cannot be created.
    #[error("cannot create {object} in the store")]
    Put {
        /// The object.
        object: String,
        /// Why.
        source: object_store::Error,
    },
    /// An object cannot be read.
    #[error("cannot read {object} from the store")]
    Get {
        /// The object.
        object: String,
        /// Why.
        source: object_store::Error,
    },
    /// A folder cannot be listed.
    #[error("cannot list {folder} in the store")]
    List {
        /// The folder.
        folder: String,
        /// Why.
        source: object_store::Error,
    },
    /// The store created the same object twice.
    #[error(
        "the store {url} does not refuse to create an object that exists; two consumers would overwrite each other"
    )]
    NotExclusive {
        /// The store.
        url: String,
    },
}

impl StoreError {
    /// Whether trying again cannot help.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        use object_store::Error as E;
        match self {
            Self::Folder { .. } | Self::Open { .. } | Self::NotBuilt { .. } | Self::NotExclusive { .. } => {
                true
            }
            Self::Put { source, .. } | Self::Get { source, .. } | Self::List { source, .. } => matches!(
                source,
                E::NotFound { .. }
                    | E::InvalidPath { .. }
                    | E::NotSupported { .. }
                    | E::NotImplemented { .. }
                    | E::PermissionDenied { .. }
                    | E::Unauthenticated { .. }
            ),
        }
    }
}

/// What creating an object came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Created {
    /// It is there now.
    Yes,
    /// It was there before, or the answer to our own request was lost and it was sent again.
    Existed,
}

/// What is done with objects, by their names below the store's root. An object is created once and
/// never changed.
pub(crate) trait Objects: Clone + Send + Sync + 'static {
    /// Creates an object.
    fn create(
        &self,
        object: &str,
        content: Bytes,
    ) -> impl Future<Output = Result<Created, StoreError>> + Send;

    /// Reads an object; `None` when there is none.
    fn get(&self, object: &str) -> impl Future<Output = Result<Option<Bytes>, StoreError>> + Send;

    /// The names of the objects below `folder`, those that sort after `after`; in no order.
    fn list(
        &self,
        folder: &str,
        after: Option<&str>,
    ) -> impl Future<Output = Result<Vec<String>, StoreError>> + Send;

    /// The names of the folders in `folder`, without what leads to them.
    fn folders(&self, folder: &str) -> impl Future<Output = Result<Vec<String>, StoreError>> + Send;
}

/// An open store.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    url: StoreUrl,
    inner: Arc<dyn ObjectStore>,
    requests: Arc<Requested>,
}

/// How long a request may take in all before it counts as failed; the writer then tries again.
#[cfg(feature = "s3")]
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

impl Store {
    /// Opens a store; for S3 nothing is sent yet.
    pub(crate) fn open(settings: &StoreSettings) -> Result<Self, StoreError> {
        let inner: Arc<dyn ObjectStore> = match &settings.url {
            StoreUrl::Local(path) => Arc::new(local(settings, path)?),
            StoreUrl::S3 { bucket, prefix } => bucket_of(settings, bucket, prefix)?,
        };
        Ok(Self { url: settings.url.clone(), inner, requests: Arc::default() })
    }

    /// Figures of all requests to this store.
    pub(crate) fn requests(&self) -> Arc<Requested> {
        Arc::clone(&self.requests)
    }

    /// Makes sure that the store refuses to create an object twice. `name` must be new.
    pub(crate) async fn probe(&self, name: &str) -> Result<(), StoreError> {
        let object = format!("_probe/{name}");
        let is_exclusive = probe::is_exclusive(self, &object).await?;
        let path = Path::from(object);
        // A probe that stays behind harms nothing.
        if let Err(error) = self.inner.delete(&path).await {
            tracing::debug!(%error, object = %path, "a probe object stays in the store");
        }
        if is_exclusive { Ok(()) } else { Err(StoreError::NotExclusive { url: self.url.to_string() }) }
    }
}

impl Objects for Store {
    async fn create(&self, object: &str, content: Bytes) -> Result<Created, StoreError> {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let payload = PutPayload::from_bytes(content);
        let failed = |source| StoreError::Put { object: object.to_owned(), source };
        let path = path_of(object).map_err(failed)?;
        match self.requests.put.time(self.inner.put_opts(&path, payload, options)).await {
            Ok(_) => Ok(Created::Yes),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(Created::Existed),
            Err(source) => Err(failed(source)),
        }
    }

    async fn get(&self, object: &str) -> Result<Option<Bytes>, StoreError> {
        let failed = |source| StoreError::Get { object: object.to_owned(), source };
        let path = path_of(object).map_err(failed)?;
        match self.requests.get.time(self.inner.get(&path)).await {
            Ok(found) => found.bytes().await.map(Some).map_err(failed),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(failed(source)),
        }
    }

    async fn list(&self, folder: &str, after: Option<&str>) -> Result<Vec<String>, StoreError> {
        let path = Path::from(folder);
        let mut objects = match after {
            Some(after) => self.inner.list_with_offset(Some(&path), &Path::from(after)),
            None => self.inner.list(Some(&path)),
        };
        let listing = async {
            let mut names = Vec::new();
            while let Some(object) = objects.next().await {
                names.push(object?.location.to_string());
            }
            Ok(names)
        };
        let failed = |source| StoreError::List { folder: folder.to_owned(), source };
        self.requests.list.time(listing).await.map_err(failed)
    }

    async fn folders(&self, folder: &str) -> Result<Vec<String>, StoreError> {
        let listed = self.requests.list.time(self.inner.list_with_delimiter(Some(&Path::from(folder)))).await;
        let listed = listed.map_err(|source| StoreError::List { folder: folder.to_owned(), source })?;
        let name = |path: &Path| path.filename().map(str::to_owned);
        Ok(listed.common_prefixes.iter().filter_map(name).collect())
    }
}

/// The name as it is: what must be escaped in it, such as the rules of an archive, is escaped already.
fn path_of(object: &str) -> Result<Path, object_store::Error> {
    Path::parse(object).map_err(|source| object_store::Error::InvalidPath { source })
}

fn local(settings: &StoreSettings, path: &std::path::Path) -> Result<LocalFileSystem, StoreError> {
    std::fs::create_dir_all(path).map_err(|source| StoreError::Folder { path: path.to_owned(), source })?;
    let open = |source| StoreError::Open { url: settings.url.to_string(), source };
    // Offsets are committed once an object is written, so it must survive a power cut.
    LocalFileSystem::new_with_prefix(path).map(|store| store.with_fsync(true)).map_err(open)
}

#[cfg(feature = "s3")]
fn bucket_of(
    settings: &StoreSettings,
    bucket: &str,
    prefix: &str,
) -> Result<Arc<dyn ObjectStore>, StoreError> {
    let open = |source| StoreError::Open { url: settings.url.to_string(), source };
    let store = s3::builder(settings, bucket, |name| std::env::var(name).ok()).build().map_err(open)?;
    if prefix.is_empty() {
        return Ok(Arc::new(store));
    }
    Ok(Arc::new(object_store::prefix::PrefixStore::new(store, prefix)))
}

#[cfg(not(feature = "s3"))]
fn bucket_of(settings: &StoreSettings, _: &str, _: &str) -> Result<Arc<dyn ObjectStore>, StoreError> {
    Err(StoreError::NotBuilt { url: settings.url.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_folder_or_a_bucket() {
        let s3 = |bucket: &str, prefix: &str| StoreUrl::S3 { bucket: bucket.into(), prefix: prefix.into() };
        assert_eq!(StoreUrl::parse("s3://b-1/a/c/"), Ok(s3("b-1", "a/c")));
        assert_eq!(StoreUrl::parse("s3://b"), Ok(s3("b", "")));
        assert_eq!(StoreUrl::parse("file:///var/lib/x"), Ok(StoreUrl::Local("/var/lib/x".into())));
        assert_eq!(StoreUrl::parse("rel/x"), Ok(StoreUrl::Local("rel/x".into())));
        for bad in ["", "s3://", "s3:///x", "s3://B/x", "s3://b/a//c", "file://host/x", "gs://b/x"] {
            assert_eq!(StoreUrl::parse(bad), Err(BadStoreUrl(bad.into())), "{bad}");
        }
        assert_eq!(StoreUrl::parse("s3://b-1/a/c/").unwrap().to_string(), "s3://b-1/a/c");
    }

    #[tokio::test]
    async fn an_object_is_created_once_and_the_probe_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&StoreSettings::local(dir.path().join("new/store"))).unwrap();
        store.probe("p1").await.unwrap();
        let object = "tables/a/x.parquet";
        assert_eq!(store.create(object, Bytes::from_static(b"1")).await.unwrap(), Created::Yes);
        assert_eq!(store.create(object, Bytes::from_static(b"2")).await.unwrap(), Created::Existed);
        assert_eq!(store.get(object).await.unwrap().unwrap(), "1");
        assert_eq!(std::fs::read_dir(dir.path().join("new/store/_probe")).unwrap().count(), 0);
        assert_eq!(store.get("nothing").await.unwrap(), None);
    }

    #[tokio::test]
    async fn objects_and_folders_are_listed() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&StoreSettings::local(dir.path())).unwrap();
        assert_eq!(store.list("a", None).await.unwrap(), Vec::<String>::new(), "nothing is there");
        assert_eq!(store.folders("a").await.unwrap(), Vec::<String>::new());
        for object in ["a/p=1/1", "a/p=1/2", "a/p=1/3", "a/p=2/1", "a/x", "b/p=3/1"] {
            store.create(object, Bytes::new()).await.unwrap();
        }
        let mut listed = store.list("a/p=1", Some("a/p=1/1")).await.unwrap();
        listed.sort();
        assert_eq!(listed, ["a/p=1/2", "a/p=1/3"]);
        assert_eq!(store.list("a/p=1", None).await.unwrap().len(), 3);
        let mut folders = store.folders("a").await.unwrap();
        folders.sort();
        assert_eq!(folders, ["p=1", "p=2"]);
    }

    #[tokio::test]
    async fn a_store_whose_answers_are_not_as_expected_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&StoreSettings::local(dir.path())).unwrap();
        store.create("_probe/p1", Bytes::new()).await.unwrap();
        assert!(matches!(store.probe("p1").await, Err(StoreError::NotExclusive { .. })));
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = Store::open(&StoreSettings::local(file.join("x"))).unwrap_err();
        assert!(matches!(&error, StoreError::Folder { path, .. } if *path == file.join("x")), "{error}");
    }
}
