//! A store in memory that fails as S3 does: before a request takes effect, after it did, with a conflict
//! while nothing is there, and with "exists" as the answer to its own request sent twice. Every request
//! lets others in before and after it takes effect, so a test that polls its tasks in a random order sees
//! every interleaving. Seeded.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};

use bytes::Bytes;

use super::random::Random;
use crate::store::{Created, Objects, StoreError};

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Memory {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    objects: BTreeMap<String, Bytes>,
    random: Random,
    /// Of a hundred requests so many go wrong.
    fault_percent: u64,
    faults: Faults,
}

/// How often each fault has happened.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    pub(crate) before: u64,
    pub(crate) after: u64,
    pub(crate) conflict: u64,
    pub(crate) own_retry: u64,
}

enum Fault {
    None,
    Before,
    After,
    Conflict,
    OwnRetry,
}

impl Memory {
    pub(crate) fn new(seed: u64, fault_percent: u64) -> Self {
        let random = Random::new(seed);
        let inner = Inner { objects: BTreeMap::new(), random, fault_percent, faults: Faults::default() };
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    pub(crate) fn heal(&self) {
        self.lock().fault_percent = 0;
    }

    pub(crate) fn faults(&self) -> Faults {
        self.lock().faults
    }

    /// The objects below `folder`, in order.
    pub(crate) fn below(&self, folder: &str) -> Vec<(String, Bytes)> {
        let inner = self.lock();
        let found = inner.objects.iter().filter(|(name, _)| name.starts_with(folder));
        found.map(|(name, content)| (name.clone(), content.clone())).collect()
    }

    pub(crate) fn remove(&self, object: &str) {
        assert!(self.lock().objects.remove(object).is_some(), "{object} is not there");
    }

    pub(crate) fn damage(&self, object: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut inner = self.lock();
        let mut content = inner.objects[object].to_vec();
        change(&mut content);
        inner.objects.insert(object.to_owned(), content.into());
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    fn failure(object: &str) -> StoreError {
        let source = object_store::Error::Generic { store: "memory", source: "503".into() };
        StoreError::Get { object: object.to_owned(), source }
    }
}

impl Inner {
    fn fault(&mut self) -> Fault {
        if self.random.below(100) >= self.fault_percent {
            return Fault::None;
        }
        match self.random.below(4) {
            0 => Fault::Before,
            1 => Fault::After,
            2 => Fault::Conflict,
            _ => Fault::OwnRetry,
        }
    }

    fn create(&mut self, object: &str, content: Bytes) -> Result<Created, StoreError> {
        let fault = self.fault();
        match fault {
            Fault::Before => {
                self.faults.before += 1;
                return Err(Memory::failure(object));
            }
            Fault::Conflict => {
                self.faults.conflict += 1;
                return Ok(Created::Existed);
            }
            _ => {}
        }
        let is_new = !self.objects.contains_key(object);
        if is_new {
            self.objects.insert(object.to_owned(), content);
        }
        match fault {
            Fault::After => {
                self.faults.after += 1;
                Err(Memory::failure(object))
            }
            Fault::OwnRetry => {
                self.faults.own_retry += 1;
                Ok(Created::Existed)
            }
            _ if is_new => Ok(Created::Yes),
            _ => Ok(Created::Existed),
        }
    }

    /// Reading has no effect, so there is only one way to fail.
    fn may_read(&mut self, object: &str) -> Result<(), StoreError> {
        if matches!(self.fault(), Fault::None) { Ok(()) } else { Err(Memory::failure(object)) }
    }
}

impl Objects for Memory {
    async fn create(&self, object: &str, content: Bytes) -> Result<Created, StoreError> {
        let_others_in().await;
        let created = self.lock().create(object, content);
        let_others_in().await;
        created
    }

    async fn get(&self, object: &str) -> Result<Option<Bytes>, StoreError> {
        let_others_in().await;
        let found = {
            let mut inner = self.lock();
            inner.may_read(object).map(|()| inner.objects.get(object).cloned())
        };
        let_others_in().await;
        found
    }

    async fn list(&self, folder: &str, after: Option<&str>) -> Result<Vec<String>, StoreError> {
        let_others_in().await;
        let listed = {
            let mut inner = self.lock();
            inner.may_read(folder).map(|()| {
                let inside = |name: &&String| {
                    name.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
                        && after.is_none_or(|after| name.as_str() > after)
                };
                inner.objects.keys().filter(inside).cloned().collect()
            })
        };
        let_others_in().await;
        listed
    }

    async fn folders(&self, folder: &str) -> Result<Vec<String>, StoreError> {
        let names = self.list(folder, None).await?;
        let inner = |name: &String| {
            let rest = name.strip_prefix(folder)?.strip_prefix('/')?;
            rest.split_once('/').map(|(first, _)| first.to_owned())
        };
        Ok(names.iter().filter_map(inner).collect::<BTreeSet<_>>().into_iter().collect())
    }
}

/// Is pending once.
pub(crate) fn let_others_in() -> impl Future<Output = ()> + Send {
    struct Once(bool);
    impl Future for Once {
        type Output = ();

        fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
            if std::mem::replace(&mut self.0, true) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        }
    }
    Once(false)
}
