//! The probe at start: does the store really refuse to create an object that exists? Answers may be lost, and
//! requests sent again, as at any other time; so what is there in the end decides, not what was answered.

use bytes::Bytes;

use super::{Created, Objects, StoreError};
use crate::patience::Patience;

/// Failures of the store that are waited out, longer each time: a start may fall into a short outage, and
/// settings that are wrong must not keep a program from ending for long.
const TRIES: u32 = 4;

const FIRST: Bytes = Bytes::from_static(b"first");
const SECOND: Bytes = Bytes::from_static(b"second");

/// Whether of two creations of `object`, which must be new, the second does nothing.
pub(super) async fn is_exclusive(store: &impl Objects, object: &str) -> Result<bool, StoreError> {
    let (mut patience, mut failures) = (Patience::new(), 0);
    loop {
        match try_once(store, object).await {
            Ok(Some(is_exclusive)) => return Ok(is_exclusive),
            // S3 says that it exists while another request for it is under way: ours, whose answer was lost.
            Ok(None) => {}
            Err(error) => {
                failures += 1;
                if failures >= TRIES {
                    return Err(error);
                }
                patience.after(error).await?;
            }
        }
    }
}

/// Creates it twice and looks. It may have been tried before. `None` when it is not to be seen yet.
async fn try_once(store: &impl Objects, object: &str) -> Result<Option<bool>, StoreError> {
    store.create(object, FIRST).await?;
    match store.get(object).await? {
        None => return Ok(None),
        Some(content) if content != FIRST => return Ok(Some(false)),
        Some(_) => {}
    }
    if store.create(object, SECOND).await? == Created::Yes {
        return Ok(Some(false));
    }
    Ok(store.get(object).await?.map(|content| content == FIRST))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::store::Memory;

    #[tokio::test]
    async fn faults_are_not_taken_for_a_store_that_overwrites() {
        let mut faults = 0;
        for seed in 0..300 {
            let store = Memory::new(seed, 25);
            loop {
                match try_once(&store, "_probe/1").await {
                    Ok(Some(is_exclusive)) => break assert!(is_exclusive, "seed {seed}"),
                    Ok(None) => faults += 1,
                    Err(error) => {
                        assert!(!error.is_permanent(), "seed {seed}: {error:?}");
                        faults += 1;
                    }
                }
            }
        }
        assert!(faults > 100, "{faults}");
    }

    #[tokio::test]
    async fn an_object_that_is_not_ours_is_no_proof() {
        let store = Memory::new(1, 0);
        store.create("_probe/1", Bytes::from_static(b"theirs")).await.unwrap();
        assert!(!is_exclusive(&store, "_probe/1").await.unwrap());
    }
}
