//! When a source connects again: each service's own rules, as data, and the schedule that follows them.
//! Pure; the randomness comes in as a seed.
//!
//! A failure has a cause, and each cause waits by its own step: growing with each failure in a row, up
//! to a limit. The waits are lengthened by up to a fifth at random, so that many clients do not come
//! back at the same moment; they are never shorter than the rules say. After a connection that worked,
//! all begin anew, and the first new attempt is at once where the service allows it.

use std::time::Duration;

use serde::Serialize;

/// Why a connection ended or could not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// TCP, TLS, DNS, or a stream that broke.
    Network,
    /// An answer that says to come again later, such as 503.
    Http,
    /// 429.
    RateLimited,
    /// An answer that trying again will not change, such as 401.
    Refused,
    /// Nothing came for too long.
    Stall,
    /// The upstream ended the stream in good order.
    Ended,
    /// The upstream said in the stream that it disconnects us.
    Told,
}

impl Cause {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Network, Self::Http, Self::RateLimited, Self::Refused, Self::Stall, Self::Ended, Self::Told];

    /// Its name in metrics and logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Http => "http",
            Self::RateLimited => "rate_limited",
            Self::Refused => "refused",
            Self::Stall => "stall",
            Self::Ended => "ended",
            Self::Told => "told",
        }
    }

    /// Whether an operator has to act.
    #[must_use]
    pub fn needs_operator(self) -> bool {
        self == Self::Refused
    }

    fn step(self, plan: &Plan) -> (usize, Step) {
        match self {
            Self::Network | Self::Stall | Self::Ended => (0, plan.network),
            Self::Http => (1, plan.http),
            Self::RateLimited => (2, plan.rate_limited),
            Self::Refused => (3, plan.refused),
            Self::Told => (4, plan.told),
        }
    }
}

/// How the waits of failures in a row grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// The first wait.
    pub first: Duration,
    /// What comes after it.
    pub growth: Growth,
    /// The longest one, before the random share.
    pub max: Duration,
}

/// See [`Step`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Growth {
    /// By the first wait each time.
    Linear,
    /// Twice the one before.
    Double,
}

impl Step {
    const fn linear(first: Duration, max: Duration) -> Self {
        Self { first, growth: Growth::Linear, max }
    }

    const fn double(first: Duration, max: Duration) -> Self {
        Self { first, growth: Growth::Double, max }
    }

    /// The wait after `failures` failures in a row before this one.
    fn wait(self, failures: u32) -> Duration {
        let factor = match self.growth {
            Growth::Linear => failures.saturating_add(1),
            Growth::Double => 2_u32.saturating_pow(failures),
        };
        self.first.saturating_mul(factor).min(self.max.max(self.first))
    }
}

/// The rules of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Whether a connection that worked is followed by an attempt at once.
    pub first_at_once: bool,
    /// For what breaks, stalls or ends.
    pub network: Step,
    /// For answers that say to come again later.
    pub http: Step,
    /// For 429.
    pub rate_limited: Step,
    /// For what an operator has to put right.
    pub refused: Step,
    /// For a disconnect that the upstream told in the stream.
    pub told: Step,
}

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// X's rules for its streams: at once, then 250 ms more each time up to 16 s; 5 s doubling to 320 s;
/// a minute doubling to the 15 minutes of its rate limit.
pub const X: Plan = Plan {
    first_at_once: true,
    network: Step::linear(ms(250), secs(16)),
    http: Step::double(secs(5), secs(320)),
    rate_limited: Step::double(secs(60), secs(900)),
    refused: Step::double(secs(60), secs(900)),
    told: Step::double(secs(5), secs(320)),
};

/// For services that publish no rules. The limit of the first two is `reconnect_max`.
pub const USUAL: Plan = Plan {
    first_at_once: true,
    network: Step::double(ms(250), secs(30)),
    http: Step::double(ms(250), secs(30)),
    rate_limited: Step::double(secs(5), secs(900)),
    refused: Step::double(secs(60), secs(900)),
    told: Step::double(secs(1), secs(30)),
};

/// For server-sent events: as the others, but not so eager on answers like 503 of a shared service.
/// `retry:` of the stream takes the place of the first wait of `network`.
pub const SSE: Plan = Plan { http: Step::double(secs(1), secs(60)), ..USUAL };

/// For Jetstream's instances, which are shared, too.
pub const JETSTREAM: Plan = Plan { http: Step::double(secs(1), secs(60)), ..USUAL };

/// The rules by name, for documents and tests.
pub const PLANS: [(&str, Plan); 4] = [("x", X), ("usual", USUAL), ("sse", SSE), ("jetstream", JETSTREAM)];

/// The longest wait that an upstream can tell, so that a broken header cannot stop the stream for a day.
pub const TOLD_MAX: Duration = Duration::from_secs(16 * 60);
/// The least and the longest `retry:` that is taken over.
const RETRY_RANGE: (Duration, Duration) = (ms(100), secs(60));
/// The random share of a wait, at most.
const JITTER: f64 = 0.2;
const STEPS: usize = 5;

/// Where a source stands in its plan.
#[derive(Debug)]
pub struct Schedule {
    plan: Plan,
    /// Failures in a row, by step.
    failures: [u32; STEPS],
    /// `retry:` was told: the upstream wants us to wait.
    retry_told: bool,
    random: u64,
}

impl Schedule {
    /// A schedule by `plan`, which draws its random shares from `seed`.
    #[must_use]
    pub fn new(plan: Plan, seed: u64) -> Self {
        Self { plan, failures: [0; STEPS], retry_told: false, random: seed }
    }

    /// The connection works: failures from here on are first ones.
    pub fn worked(&mut self) {
        self.failures = [0; STEPS];
    }

    /// The upstream told by `retry:` how long to wait before connecting again.
    pub fn retry(&mut self, told: Duration) {
        let (least, most) = RETRY_RANGE;
        self.plan.network.first = told.clamp(least, most);
        self.retry_told = true;
    }

    /// The wait after a failure. `after_success` says that the connection had worked; `told` is what an
    /// answer's headers asked for. A 429 after another one waits the longer of both.
    pub fn wait(&mut self, cause: Cause, after_success: bool, told: Option<Duration>) -> Duration {
        let (index, step) = cause.step(&self.plan);
        let failures = self.failures[index];
        let at_once = after_success && self.plan.first_at_once && index == 0 && !self.retry_told;
        if at_once {
            return Duration::ZERO;
        }
        self.failures[index] = failures.saturating_add(1);
        let own = step.wait(failures);
        let base = match told.map(|told| told.min(TOLD_MAX)) {
            // What an operator has to put right is not put right in a second, whatever the answer says.
            Some(told) if failures == 0 && cause != Cause::Refused => told,
            Some(told) => told.max(own),
            None => own,
        };
        base + base.mul_f64(JITTER * self.unit())
    }

    /// The next random number in 0..1: splitmix64, which is good enough to spread clients.
    fn unit(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let bits = (z ^ (z >> 31)) >> 32;
        f64::from(u32::try_from(bits).unwrap_or(0)) / f64::from(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The waits of `count` failures of one cause in a row, in milliseconds, without the random share.
    fn waits(plan: Plan, cause: Cause, count: u32) -> Vec<u128> {
        let (_, step) = cause.step(&plan);
        (0..count).map(|n| step.wait(n).as_millis()).collect()
    }

    #[test]
    fn x_waits_as_its_documentation_says() {
        assert_eq!(waits(X, Cause::Network, 4), [250, 500, 750, 1000]);
        assert_eq!(
            waits(X, Cause::Network, 70)[62..],
            [15_750, 16_000, 16_000, 16_000, 16_000, 16_000, 16_000, 16_000]
        );
        assert_eq!(
            waits(X, Cause::Http, 8),
            [5_000, 10_000, 20_000, 40_000, 80_000, 160_000, 320_000, 320_000]
        );
        assert_eq!(waits(X, Cause::RateLimited, 5), [60_000, 120_000, 240_000, 480_000, 900_000]);
    }

    #[test]
    fn no_service_is_hammered_after_a_refusal() {
        for (name, plan) in PLANS {
            assert!(plan.refused.first >= secs(60), "{name}");
            for cause in Cause::ALL {
                let (_, step) = cause.step(&plan);
                assert!(step.first >= ms(250) && step.max >= step.first, "{name} {cause:?}");
            }
        }
        assert_eq!(
            waits(USUAL, Cause::Network, 9),
            [250, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]
        );
        assert_eq!(waits(SSE, Cause::Http, 3), [1000, 2000, 4000]);
    }

    #[test]
    fn a_connection_that_worked_is_followed_by_an_attempt_at_once_and_then_by_the_plan() {
        let mut schedule = Schedule::new(X, 1);
        schedule.worked();
        assert_eq!(schedule.wait(Cause::Ended, true, None), Duration::ZERO);
        assert!(schedule.wait(Cause::Network, false, None) >= ms(250));
        assert!(schedule.wait(Cause::Network, false, None) >= ms(500));
        schedule.worked();
        assert!(schedule.wait(Cause::Network, false, None) <= ms(300));
    }

    #[test]
    fn a_disconnect_that_was_told_waits_although_the_connection_worked() {
        assert!(Schedule::new(X, 1).wait(Cause::Told, true, None) >= secs(5));
    }

    #[test]
    fn each_429_lengthens_the_wait_whatever_the_headers_say() {
        let mut schedule = Schedule::new(X, 1);
        let first = schedule.wait(Cause::RateLimited, false, Some(secs(10)));
        assert!((secs(10)..=secs(12)).contains(&first), "{first:?}");
        let second = schedule.wait(Cause::RateLimited, false, Some(secs(10)));
        assert!(second >= secs(120), "{second:?}");
        let third = schedule.wait(Cause::RateLimited, false, Some(secs(800)));
        assert!(third >= secs(800), "{third:?}");
        let refused = schedule.wait(Cause::Refused, false, Some(secs(1)));
        assert!(refused >= secs(60), "{refused:?}");
        let absurd = schedule.wait(Cause::RateLimited, false, Some(secs(1_000_000)));
        assert!(absurd <= TOLD_MAX.mul_f64(1.0 + JITTER), "{absurd:?}");
    }

    #[test]
    fn retry_sets_the_first_wait_and_takes_the_haste_away() {
        let mut schedule = Schedule::new(SSE, 1);
        schedule.retry(secs(3));
        assert!(schedule.wait(Cause::Ended, true, None) >= secs(3));
        assert!(schedule.wait(Cause::Network, false, None) >= secs(6));
        schedule.retry(secs(100_000));
        schedule.worked();
        assert!(schedule.wait(Cause::Network, false, None) <= secs(72));
    }

    proptest! {
        #[test]
        fn the_random_share_only_lengthens_by_a_fifth_and_follows_from_the_seed(seed in any::<u64>(), failures in 1..80_u32) {
            let (mut one, mut other) = (Schedule::new(X, seed), Schedule::new(X, seed));
            for n in 0..failures {
                let (wait, rule) = (one.wait(Cause::Network, false, None), X.network.wait(n));
                prop_assert!(wait >= rule && wait <= rule.mul_f64(1.0 + JITTER + 1e-9));
                prop_assert_eq!(wait, other.wait(Cause::Network, false, None));
            }
        }
    }
}
