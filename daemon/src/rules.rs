//! The rules of X's filtered stream: brings the account's to those of the configuration.
//!
//! X has no way to change a rule: each change is a deletion and an addition, and a value can be there
//! only once. So a rule that gets another tag would match nothing for a while; a rule of the same meaning
//! stands in for it until the change is in force. What has to be done is found out by [`Plan`], which is pure; [`Account`] speaks to X;
//! [`apply`] does the one by the other.
//!
//! X keeps three things of a rule: id, value and tag. No list of our own is kept beside that, which could
//! be lost or be wrong, so what is ours must follow from the tag. A rule is ours when its tag begins with
//! `rules.tag_prefix`, or, without one, when its tag is one of the configuration. A value that the
//! configuration names is ours in any case, because there cannot be another rule for it. All else was made
//! by others and is touched only when asked for.

mod account;
mod apply;
mod plan;

pub use account::{Account, AccountError, Complaint, Kind};
pub use apply::{ApplyError, Waiting, apply, rehearse};
pub use plan::{Owner, Plan, Retag, Rule, Step, TooMany};
