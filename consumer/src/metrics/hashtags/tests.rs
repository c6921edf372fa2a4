//! Tests of the happiest hashtags: with the inputs and results of an older program, and with recorded
//! tweets. The older program kept one of a hashtag's counts; here they are summed, which users expect.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;
use spillway_testkit::samples;

use super::super::{Kind, Metrics, Plan, Rank, Reading, Value, top};
use super::*;
use crate::event::{Event, Kind as Deed, Message, Needs};
use crate::{Profile, testing};

#[test]
fn smiles_are_counted_wherever_they_stand() {
    assert_eq!((faces(":):) x:) (: :-) :"), faces("")), (3, 0));
    assert_eq!(smile_emoji("😀😀some🙂 😅😆😇😎 but 😃😊🙃"), 7);
    assert_eq!(folded("ÄÖ_Rain"), "äö_rain");
}

fn event(tweet: &Json) -> Event<'_> {
    let tags = tweet["hashtags"].as_array().unwrap().iter().map(|tag| Cow::Borrowed(tag.as_str().unwrap()));
    Event {
        text: tweet["text"].as_str().map(Cow::Borrowed),
        tags: tags.collect(),
        ..testing::event("1", 0, "ann", Deed::Original)
    }
}

/// The hashtags with the most of `kind`, and how many.
fn happiest(tweets: &[&Json], kind: Kind, n: usize) -> Vec<(String, u64)> {
    let plan = Plan::new(vec![kind]);
    let mut groups: BTreeMap<String, Metrics> = BTreeMap::new();
    for tweet in tweets {
        let event = event(tweet);
        let reading = Reading::new(&event);
        for tag in reading.tags() {
            groups.entry(tag.to_owned()).or_default().observe(&plan, &reading);
        }
    }
    let rows = groups.into_iter().map(|(tag, metrics)| (tag, metrics.values(&plan))).collect();
    let count = |values: &[Value]| match values {
        [Value::Count(count)] => *count,
        other => panic!("{other:?}"),
    };
    top(rows, Rank { by: 0, n }).into_iter().map(|(tag, values)| (tag, count(&values))).collect()
}

/// What the older program has for a group of tweets: the different pairs of a tweet's smiles and a hashtag.
fn pairs(rows: &Json) -> BTreeSet<(u64, String)> {
    let pair = |row: &Json| (row[0].as_u64().unwrap(), row[1].as_str().unwrap().to_owned());
    rows.as_array().unwrap().iter().map(pair).collect()
}

/// The same pairs from the tweets themselves, and the smiles of each hashtag summed.
fn counted(tweets: &[&Json], smiles: fn(&str) -> u64) -> (BTreeSet<(u64, String)>, BTreeMap<String, u64>) {
    let mut counted = (BTreeSet::new(), BTreeMap::new());
    for event in tweets.iter().map(|tweet| event(tweet)) {
        let count = smiles(event.text.as_deref().unwrap());
        for tag in event.tags.iter().filter(|_| count > 0) {
            counted.0.insert((count, tag.to_string()));
            *counted.1.entry(tag.to_string()).or_default() += count;
        }
    }
    counted
}

fn sorted(happiest: &[(String, u64)]) -> BTreeMap<String, u64> {
    happiest.iter().cloned().collect()
}

#[test]
fn the_happiest_hashtags_are_those_of_the_older_program_with_summed_smiles() {
    let test = "the_happiest_hashtags_are_those_of_the_older_program_with_summed_smiles";
    let Some(path) = samples::find("hashtags/happiest_hashtags.json", test) else { return };
    let sample: Json = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();

    // Those of two hours ago are in another window.
    let by_time = &sample["ts_based"];
    let now: Vec<_> =
        by_time["batch"].as_array().unwrap().iter().filter(|tweet| tweet["createdAt"] == "NOW").collect();
    let all = happiest(&now, Kind::Smiles, usize::MAX);
    let (same, sums) = counted(&now, |text| text.split(":)").count() as u64 - 1);
    assert_eq!(same, pairs(&by_time["rows_before_topN(count,hashtag)"]));
    assert_eq!(sorted(&all), sums);
    let first: Vec<_> = all.iter().take(4).map(|(tag, count)| (tag.as_str(), *count)).collect();
    assert_eq!(first, [("someI1", 7), ("someS1", 6), (":):):)", 3), ("someE0", 3)]);
    assert_eq!(happiest(&now, Kind::Smiles, 4), all[..4]);

    let sliding = &sample["window_based"];
    let batches = sliding["batches_2s_apart"].as_array().unwrap();
    let tweets: Vec<_> = batches.iter().flat_map(|batch| batch.as_array().unwrap()).collect();
    let all = happiest(&tweets, Kind::SmileEmoji, usize::MAX);
    let (same, sums) = counted(&tweets, |text| text.chars().filter(|c| "😀🙂".contains(*c)).count() as u64);
    let rows = sliding.as_object().unwrap().iter().find(|(key, _)| key.starts_with("rows_in_full_window"));
    assert_eq!(same, pairs(rows.unwrap().1));
    assert_eq!(sorted(&all), sums);
    assert_eq!(all[..2], [("someI1".to_owned(), 7), ("someG2".to_owned(), 5)]);
}

#[test]
fn the_top_hashtags_of_recorded_windows_are_the_ones_computed_elsewhere() {
    let test = "the_top_hashtags_of_recorded_windows_are_the_ones_computed_elsewhere";
    let (Some(recording), Some(windows)) =
        (samples::find("x/hk.v2stream.ndjson", test), samples::find("expected/windows5m_hk.csv", test))
    else {
        return;
    };
    let needs = Needs { lists: true, ..Needs::default() };
    let mut tags: BTreeMap<(i64, String), u64> = BTreeMap::new();
    let recording = std::fs::read(recording).unwrap();
    for line in recording.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
        let Ok(Message::Event(event)) = Profile::XV2.read(line, needs) else { panic!("no event") };
        let start = event.time.div_euclid(300_000_000) * 300;
        for tag in Reading::new(&event).folded_tags() {
            *tags.entry((start, tag)).or_default() += 1;
        }
    }
    let windows = std::fs::read_to_string(windows).unwrap();
    for window in windows.lines().skip(1) {
        let fields: Vec<&str> = window.split(',').collect();
        let start = crate::micros::parse(fields[0]).unwrap() / 1_000_000;
        let rows = tags.range((start, String::new())..(start + 1, String::new()));
        let rows = rows.map(|((_, tag), count)| (tag.clone(), vec![Value::Count(*count)])).collect();
        let top: Vec<String> = top(rows, Rank { by: 0, n: 5 })
            .into_iter()
            .map(|(tag, values)| format!("{tag}:{}", if let [Value::Count(n)] = values[..] { n } else { 0 }))
            .collect();
        assert_eq!(top.join("|"), fields[5], "{}", fields[0]);
    }
}
