//! Fake services beside X's stream: real servers on loopback that follow what each service documents.

pub mod jetstream;
pub mod websocket;
