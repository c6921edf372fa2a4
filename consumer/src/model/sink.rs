//! What is final in the model, as text in its store.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::tables::tables;
use crate::archive::{Archived, parts};
use crate::finalise::FinalWindow;
use crate::finaliser::Sink;
use crate::log::Header;
use crate::metrics::Value;
use crate::store::{Created, Objects};
use crate::testing::store::Memory;
use crate::writer::{WriteError, Written};

/// See the module.
pub(super) struct ModelSink {
    pub(super) store: Memory,
}

/// Where windows go.
pub(super) const WINDOWS: &str = "windows/";

pub(super) fn object_name(table: usize, start: i64) -> String {
    format!("{WINDOWS}{table}/{start:020}")
}

impl ModelSink {
    async fn create(&self, object: &str, content: Bytes) {
        loop {
            match self.store.create(object, content.clone()).await {
                Ok(Created::Yes) => return,
                Ok(Created::Existed) => {
                    let Ok(Some(theirs)) = self.store.get(object).await else { continue };
                    assert_eq!(theirs, content, "the final object {object} would change");
                    return;
                }
                Err(_) => {}
            }
        }
    }
}

impl Sink for ModelSink {
    async fn write(
        &self,
        windows: Vec<FinalWindow>,
        _: BTreeMap<i32, i64>,
    ) -> Result<Vec<Written>, WriteError> {
        for window in windows {
            let object = object_name(window.table, window.start);
            self.create(&object, format!("{:?}", rows(&window)).into()).await;
        }
        Ok(Vec::new())
    }

    async fn archive(&self, header: &Header, rows: Vec<Archived>) -> Result<Vec<Written>, WriteError> {
        let objects: Vec<(String, String)> = tables()
            .archives()
            .iter()
            .flat_map(|archive| parts(archive, header, &rows))
            .map(|(name, part)| {
                let ids: Vec<_> = part.rows.iter().map(|row| row.said.id.as_str()).collect();
                (name, ids.join(" "))
            })
            .collect();
        for (name, ids) in objects {
            self.create(&name, ids.into()).await;
        }
        Ok(Vec::new())
    }
}

fn rows(window: &FinalWindow) -> Vec<(&str, &[Value])> {
    window.rows.iter().map(|row| (row.group.as_str(), row.values.as_slice())).collect()
}
