//! Which request meets which fault. Pure: a function of the seed, the weather and the requests of each key.

use std::collections::HashMap;
use std::time::Duration;

use super::{Fault, Weather};
use crate::rng::Rng;

/// What is to be done with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Pass,
    /// The store is down.
    Refuse,
    Meet(Fault, Duration),
}

#[derive(Debug)]
pub(super) struct Script {
    seed: u64,
    weather: Weather,
    /// By method and key: requests so far, and faults in a row.
    seen: HashMap<String, (u64, u32)>,
}

impl Script {
    pub(super) fn new(seed: u64, weather: Weather) -> Self {
        Self { seed, weather, seen: HashMap::new() }
    }

    pub(super) fn set(&mut self, weather: Weather) {
        self.weather = weather;
    }

    /// What becomes of the next request of this method for this key.
    pub(super) fn decide(&mut self, method: &str, key: &str) -> Verdict {
        if self.weather.is_down {
            return Verdict::Refuse;
        }
        let name = format!("{method} {key}");
        let (number, in_a_row) = self.seen.get(&name).copied().unwrap_or_default();
        let mut rng = Rng::new(self.seed ^ crate::hash(format!("{name} {number}").as_bytes()));
        let fault = self.draw(&mut rng, method).filter(|_| in_a_row < self.weather.in_a_row);
        // One that is answered rightly ends a row as well.
        let row = fault.filter(|fault| *fault != Fault::Slow).map_or(0, |_| in_a_row + 1);
        self.seen.insert(name, (number + 1, row));
        let micros = u64::try_from(self.weather.delay_max.as_micros()).unwrap_or(u64::MAX);
        let delay = Duration::from_micros(rng.below(micros));
        fault.map_or(Verdict::Pass, |fault| Verdict::Meet(fault, delay))
    }

    fn draw(&self, rng: &mut Rng, method: &str) -> Option<Fault> {
        let possible = self.weather.faults.iter().copied();
        let possible: Vec<Fault> = possible.filter(|fault| method == "PUT" || fault.is_for_all()).collect();
        (!possible.is_empty() && rng.chance(self.weather.share)).then(|| rng.pick(&possible))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts(seed: u64, keys: &[&str]) -> Vec<Verdict> {
        let mut script = Script::new(seed, Weather { share: 0.8, ..Weather::rough() });
        keys.iter().map(|key| script.decide("PUT", key)).collect()
    }

    #[test]
    fn a_keys_fate_is_its_own() {
        let alone = verdicts(3, &["a"; 20]);
        let mixed = verdicts(3, &["a", "b"].repeat(20));
        assert_eq!(mixed.into_iter().step_by(2).collect::<Vec<_>>(), alone);
        assert_ne!(verdicts(4, &["a"; 20]), alone);
    }

    #[test]
    fn a_row_of_faults_ends() {
        let mut script = Script::new(1, Weather { share: 1.0, faults: vec![Fault::Cut], ..Weather::rough() });
        let passed: Vec<bool> = (0..8).map(|_| script.decide("GET", "a") == Verdict::Pass).collect();
        assert_eq!(passed, [false, false, false, true, false, false, false, true]);
    }

    #[test]
    fn only_puts_conflict() {
        let faults = vec![Fault::Conflict, Fault::Belated];
        let mut script = Script::new(1, Weather { share: 1.0, faults, ..Weather::rough() });
        assert_eq!(script.decide("GET", "a"), Verdict::Pass);
        assert!(matches!(script.decide("PUT", "a"), Verdict::Meet(..)));
        script.set(Weather::down());
        assert_eq!(script.decide("PUT", "b"), Verdict::Refuse);
    }
}
