//! What the admin endpoint says of the daemon: one [`Status`] an answer.

use std::sync::Arc;

use spillway_service::admin::{self, Bound, Endpoint, Failure, Listen};

use crate::error::StartError;
use crate::metrics;
use crate::pipeline::Shared;
use crate::status::Status;

/// Binds the address, before anything else is touched.
pub(crate) fn bind(listen: Option<&Listen>) -> Result<Option<Bound>, StartError> {
    let bound = listen.map(|listen| {
        admin::bind(listen).map_err(|source| StartError::Listen { address: listen.clone(), source })
    });
    bound.transpose()
}

/// Serves until the runtime ends.
pub(crate) async fn serve(bound: Bound, shared: Arc<Shared>) {
    admin::serve(bound, Arc::new(Daemon(shared))).await;
}

struct Daemon(Arc<Shared>);

impl Endpoint for Daemon {
    fn health(&self) -> Result<(), String> {
        Ok(())
    }

    fn ready(&self) -> Result<(), String> {
        Status::of(&self.0).spool.problem.map_or(Ok(()), Err)
    }

    fn status(&self) -> Result<String, Failure> {
        Ok(serde_json::to_string_pretty(&Status::of(&self.0))?)
    }

    fn metrics(&self) -> Result<String, Failure> {
        Ok(metrics::encode(Status::of(&self.0))?)
    }
}
