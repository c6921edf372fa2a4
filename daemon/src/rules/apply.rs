//! Does what a plan says, in its order.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Account, AccountError, Complaint, Kind, Plan, Retag, Rule, Step, TooMany};
use crate::config::{RuleConfig, RulesConfig};

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
    /// X has something against the stand-ins.
    #[error(
        "X refuses {} of the rules that would stand in while others get their new tag; --at-once does without them",
        .0.len()
    )]
    NoStandIns(Vec<Complaint>),
}

impl ApplyError {
    /// What X has against single rules.
    #[must_use]
    pub fn complaints(&self) -> &[Complaint] {
        match self {
            Self::Refused(complaints) | Self::NoStandIns(complaints) => complaints,
            Self::Account(_) | Self::TooMany(_) => &[],
        }
    }
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

/// Carries the plan out. Says with `tell` what it waits for.
///
/// # Errors
/// At the first request that fails or that X has something against; what was done before stays done. A new
/// plan then shows what is left, and stand-ins that were left behind as rules to be deleted.
pub async fn apply(
    account: &Account,
    plan: &Plan,
    limits: &RulesConfig,
    at_once: bool,
    tell: &mut (dyn FnMut(Waiting) + Send),
) -> Result<(), ApplyError> {
    for step in plan.steps(limits, at_once)? {
        match step {
            Step::Add(rules) => add(account, &rules).await?,
            Step::Delete(rules) => delete(account, &rules).await?,
            Step::Replace(retags) => replace(account, &retags).await?,
            Step::Exchange(retags) => {
                let stand_ins: Vec<_> = retags.iter().map(Retag::stand_in).collect();
                add(account, &stand_ins).await.map_err(ApplyError::of_stand_ins)?;
                tell(Waiting::ForStandIns(limits.settle));
                tokio::time::sleep(limits.settle).await;
                replace(account, &retags).await?;
                tell(Waiting::ForNewTags(limits.settle));
                tokio::time::sleep(limits.settle).await;
                let values: BTreeSet<&str> = stand_ins.iter().map(|rule| rule.value.as_str()).collect();
                let mut rules = account.list().await?;
                rules.retain(|rule| values.contains(rule.value.as_str()));
                delete(account, &rules).await?;
            }
        }
    }
    Ok(())
}

/// What is waited for, and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// Until the stand-ins match posts.
    ForStandIns(Duration),
    /// Until the rules with their new tags match posts.
    ForNewTags(Duration),
}

impl ApplyError {
    fn of_stand_ins(self) -> Self {
        match self {
            Self::Refused(complaints) => Self::NoStandIns(complaints),
            other => other,
        }
    }
}

async fn replace(account: &Account, retags: &[Retag]) -> Result<(), ApplyError> {
    for batch in retags.chunks(BATCH) {
        let (old, new): (Vec<_>, Vec<_>) =
            batch.iter().map(|retag| (retag.rule.clone(), retag.wanted.clone())).unzip();
        delete(account, &old).await?;
        add(account, &new).await?;
    }
    Ok(())
}

async fn add(account: &Account, rules: &[RuleConfig]) -> Result<(), ApplyError> {
    for batch in rules.chunks(BATCH) {
        accepted(account.add(batch, false).await?)?;
    }
    Ok(())
}

async fn delete(account: &Account, rules: &[Rule]) -> Result<(), ApplyError> {
    for batch in rules.chunks(BATCH) {
        accepted(account.delete(batch).await?)?;
    }
    Ok(())
}

fn accepted(complaints: Vec<Complaint>) -> Result<(), ApplyError> {
    if complaints.is_empty() { Ok(()) } else { Err(ApplyError::Refused(complaints)) }
}
