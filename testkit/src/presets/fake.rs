//! What all fakes have in common here.

use crate::oracle::sources::History;
use crate::services::Service;
use crate::services::jetstream::Jetstream;

/// A fake upstream.
pub trait Fake: Send {
    /// Where its stream is.
    fn url(&self) -> String;
    /// What it did.
    fn history(&self) -> History;
    /// Whether everything has gone wrong that was to, and somebody listens.
    fn is_calm(&self) -> bool;
    /// Publishes nothing more.
    fn finish(&self);
}

impl Fake for Service {
    fn url(&self) -> String {
        self.url()
    }
    fn history(&self) -> History {
        self.history()
    }
    fn is_calm(&self) -> bool {
        self.is_calm()
    }
    fn finish(&self) {
        self.finish();
    }
}

impl Fake for Jetstream {
    fn url(&self) -> String {
        self.url()
    }
    fn history(&self) -> History {
        self.history()
    }
    fn is_calm(&self) -> bool {
        self.is_calm()
    }
    fn finish(&self) {
        self.finish();
    }
}
