//! Tests of the polarity: against scores of the published program, and on any text.

use proptest::prelude::*;
use spillway_testkit::samples;

use super::*;

/// Texts, and vaderSentiment 3.3.2's `compound` in ten-thousandths: one or more for each rule.
const SCORED: &[(&str, i16)] = &[
    ("The weather is great today.", 6249),
    ("The weather is great today!", 6588),
    ("The weather is GREAT today!!!!!", 7906),
    ("GREAT WEATHER TODAY", 6249),
    ("not a good day", -3412),
    ("never so good a day", 5777),
    ("without doubt a good day", 6136),
    ("It isn't a very good day at all?", -3865),
    ("good??", 5040),
    ("good???", 5330),
    ("good????", 5940),
    ("good?!", 4926),
    ("no good came of it", -3412),
    ("no", -2960),
    ("NO problem here", 1343),
    ("neither bad nor good", 5981),
    ("The soup was good, but the service was terrible.", -4939),
    ("good good bad but good good bad bad", -2846),
    ("The least good meal", -3412),
    ("At least a good meal", 4404),
    ("the very least good", 4902),
    ("It was kind of good", 3832),
    ("it was sort of bad, just enough fun", -1263),
    ("they gave us the kiss of death again", -6124),
    ("a cake to die for is on the table", -5994),
    ("the old bus stop is bad ass and we love the bomb", 8020),
    ("well yeah right great", 8126),
    ("😀", 3612),
    ("so😀happy 🙂🙂", 8024),
    ("I ❤️ this 😡 but not that 😭", 5157),
    ("ÄRGER is BAD", -6408),
    ("Ünder GOOD Ǆ bad", 343),
    ("good\u{a0}day \u{1c}bad night", -1531),
    ("", 0),
    ("   ", 0),
    ("!!!", 0),
    (":) :( :D", 6289),
    ("(good) \"bad\" #happy @sad", 0),
    ("extremely EXTREMELY good and hardly bad", 2494),
    ("marginally good", 3832),
    ("this so good", 4927),
    ("never this bad thing", -6280),
    ("it is so very really good", 5768),
    ("I don't think that it wasn't bad", 4310),
    ("ok lol", 6124),
    ("Don’t be sad", -4767),
    ("the bomb was good", 2023),
    ("aayf gigo agitators!!!", 0),
    ("bad, bad, bad, bad! but fun?", -4295),
];

#[test]
fn each_rule_gives_what_the_published_program_gives() {
    for (text, expected) in SCORED {
        assert_eq!(Polarity::of(text).parts(), *expected, "{text:?}");
    }
}

#[test]
fn recorded_texts_have_the_published_programs_scores() {
    #[derive(serde::Deserialize)]
    struct Scored {
        text: String,
        vader_compound: f64,
    }
    let test = "recorded_texts_have_the_published_programs_scores";
    let Some(path) = samples::find("expected/vader_compound.jsonl", test) else { return };
    let lines = std::fs::read_to_string(path).unwrap();
    let scored: Vec<Scored> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(scored.len(), 1500);
    for Scored { text, vader_compound } in scored {
        let polarity = Polarity::of(&text);
        assert!((polarity.value() - vader_compound).abs() < 1e-9, "{polarity:?} {vader_compound} {text:?}");
    }
}

#[test]
fn a_long_text_of_equal_words_around_but_takes_no_quadratic_time() {
    let text = format!("{}but {}", "good ".repeat(50_000), "bad ".repeat(50_000));
    let began = std::time::Instant::now();
    assert_eq!(Polarity::of(&text).parts(), -10_000);
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
}

proptest! {
    #[test]
    fn any_text_has_a_polarity(text in "(\\PC|[ \\t!?]|good |bad |but |not |😀|İ|ß){0,60}") {
        let polarity = Polarity::of(&text);
        prop_assert!((-10_000..=10_000).contains(&polarity.parts()));
        prop_assert_eq!(polarity.value(), f64::from(polarity.parts()) / 10_000.0);
    }
}
