//! Does what a plan says, in its order.

use super::{Account, AccountError, Complaint, Kind, Plan, Rule, Step, TooMany};
use crate::config::RuleConfig;

/// How many rules go into a request.
const BATCH: usize = 100;

/// Why a plan was not carried out, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// X did not answer as it should.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// The account would have too many rules.
    #[error(transparent)]
    TooMany(#[from] TooMany),
    /// X has something against rules.
    #[error("X refuses {} of the rules", .0.len())]
    Refused(Vec<Complaint>),
}

/// Asks X whether it would take the new rules, and changes nothing. What X says against them is the
/// answer; a limit that only stands until the plan's deletions are done is none.
///
/// # Errors
/// When X did not answer as it should.
pub async fn rehearse(account: &Account, plan: &Plan) -> Result<Vec<Complaint>, ApplyError> {
    let mut complaints = Vec::new();
    for batch in plan.add.chunks(BATCH) {
        complaints.extend(account.add(batch, true).await?);
    }
    complaints.retain(|complaint| complaint.kind != Kind::TooMany || plan.delete.is_empty());
    Ok(complaints)
}

/// Carries the plan out.
///
/// # Errors
/// At the first request that fails or that X has something against; what was done before stays done. A new
/// plan then shows what is left.
pub async fn apply(account: &Account, plan: &Plan, max_rules: usize) -> Result<(), ApplyError> {
    for step in plan.steps(max_rules)? {
        match step {
            Step::Add(rules) => add(account, &rules).await?,
            Step::Delete(rules) => delete(account, &rules.iter().collect::<Vec<_>>()).await?,
            Step::Replace(retags) => {
                for batch in retags.chunks(BATCH) {
                    let (old, new): (Vec<_>, Vec<_>) =
                        batch.iter().map(|retag| (&retag.rule, retag.wanted.clone())).unzip();
                    delete(account, &old).await?;
                    add(account, &new).await?;
                }
            }
        }
    }
    Ok(())
}

async fn add(account: &Account, rules: &[RuleConfig]) -> Result<(), ApplyError> {
    for batch in rules.chunks(BATCH) {
        accepted(account.add(batch, false).await?)?;
    }
    Ok(())
}

async fn delete(account: &Account, rules: &[&Rule]) -> Result<(), ApplyError> {
    for batch in rules.chunks(BATCH) {
        accepted(account.delete(batch.iter().copied()).await?)?;
    }
    Ok(())
}

fn accepted(complaints: Vec<Complaint>) -> Result<(), ApplyError> {
    if complaints.is_empty() { Ok(()) } else { Err(ApplyError::Refused(complaints)) }
}
