//! X's rules, as far as these tests need them: a value is there once, a rule with the operator `bad:` is
//! invalid, there is a limit, and long lists come in pages.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

pub(crate) const TOKEN: &str = "bearer-hunter2";
const PAGE: usize = 40;

#[derive(Default)]
pub(crate) struct State {
    /// id, value, tag; in X's order.
    pub(crate) rules: Vec<(u64, String, Option<String>)>,
    /// One word for each change that was asked for, such as `try 2`, `add 2`, `delete 1`.
    pub(crate) asked: Vec<String>,
    /// The rules as they were after each change.
    states: Vec<String>,
    next_id: u64,
    max: usize,
    /// Answers every request with this instead: status, further header, body.
    pub(crate) refusal: Option<(u16, String, String)>,
}

#[derive(Clone)]
pub(crate) struct FakeX {
    pub(crate) url: String,
    pub(crate) state: Arc<Mutex<State>>,
}

impl FakeX {
    /// Its thread ends with the process.
    pub(crate) fn start(max: usize, rules: &[(&str, Option<&str>)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/2/tweets/search/stream?tweet.fields=id", listener.local_addr().unwrap());
        let fake = Self { url, state: Arc::new(Mutex::new(State { max, ..State::default() })) };
        for (value, tag) in rules {
            fake.state.lock().unwrap().insert(value, *tag);
        }
        let server = fake.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                server.serve(stream);
            }
        });
        fake
    }

    /// `value tag` of each rule.
    pub(crate) fn rules(&self) -> Vec<String> {
        self.state.lock().unwrap().words()
    }

    /// The rules as they were at the start and after each change.
    pub(crate) fn states(&self) -> Vec<String> {
        self.state.lock().unwrap().states.clone()
    }

    /// What was asked for since the last call.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().asked)
    }

    fn serve(&self, mut stream: TcpStream) {
        let Some((head, body)) = request(&mut stream) else { return };
        let mut state = self.state.lock().unwrap();
        let (status, more, answer) = match state.refusal.clone() {
            Some(refusal) => refusal,
            None if !head.contains(&format!("Bearer {TOKEN}")) => (401, String::new(), String::new()),
            None => {
                state.note();
                let answer = state.answer(&head, &body);
                state.note();
                // A limit is no matter of one rule: the whole request is refused.
                let status = if answer["type"].is_string() { 422 } else { 200 };
                (status, String::new(), answer.to_string())
            }
        };
        let length = answer.len();
        write!(
            stream,
            "HTTP/1.1 {status} X\r\n{more}Content-Length: {length}\r\nConnection: close\r\n\r\n{answer}"
        )
        .unwrap();
    }
}

fn request(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().replace("authorization", "Authorization");
    let lower = head.to_lowercase();
    let length = lower.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).unwrap();
    Some((head, body))
}

impl State {
    fn words(&self) -> Vec<String> {
        let word = |(_, value, tag): &(u64, String, Option<String>)| {
            format!("{value} {}", tag.as_deref().unwrap_or("-"))
        };
        self.rules.iter().map(word).collect()
    }

    fn note(&mut self) {
        let now = self.words().join(", ");
        if self.states.last() != Some(&now) {
            self.states.push(now);
        }
    }

    fn insert(&mut self, value: &str, tag: Option<&str>) -> Value {
        self.next_id += 1;
        self.rules.push((self.next_id, value.to_owned(), tag.map(str::to_owned)));
        shown(self.rules.last().unwrap())
    }

    fn answer(&mut self, head: &str, body: &[u8]) -> Value {
        let target = head.split_whitespace().nth(1).unwrap();
        assert!(target.starts_with("/2/tweets/search/stream/rules"), "{target}");
        if head.starts_with("GET") {
            return self.page(target.split("pagination_token=").nth(1));
        }
        let body: Value = serde_json::from_slice(body).unwrap();
        if let Some(add) = body["add"].as_array() {
            let dry = target.ends_with("?dry_run=true");
            self.asked.push(format!("{} {}", if dry { "try" } else { "add" }, add.len()));
            return self.add(add, dry);
        }
        let ids: Vec<u64> = body["delete"]["ids"]
            .as_array()
            .unwrap()
            .iter()
            .map(|id| id.as_str().unwrap().parse().unwrap())
            .collect();
        self.asked.push(format!("delete {}", ids.len()));
        let before = self.rules.len();
        self.rules.retain(|(id, ..)| !ids.contains(id));
        let deleted = before - self.rules.len();
        json!({"meta": {"summary": {"deleted": deleted, "not_deleted": ids.len() - deleted}}})
    }

    fn page(&self, token: Option<&str>) -> Value {
        let from: usize = token.map_or(0, |token| token.strip_prefix("page").unwrap().parse().unwrap());
        let rest = &self.rules[from..];
        let data: Vec<Value> = rest.iter().take(PAGE).map(shown).collect();
        let mut meta = json!({"result_count": data.len()});
        if rest.len() > PAGE {
            meta["next_token"] = json!(format!("page{}", from + PAGE));
        }
        // X leaves the list out when it is empty.
        if data.is_empty() { json!({ "meta": meta }) } else { json!({"data": data, "meta": meta}) }
    }

    fn add(&mut self, add: &[Value], dry: bool) -> Value {
        let (mut data, mut errors) = (Vec::new(), Vec::new());
        for rule in add {
            let value = rule["value"].as_str().unwrap();
            let problem = |name: &str| format!("https://api.twitter.com/2/problems/{name}");
            if let Some((id, ..)) = self.rules.iter().find(|(_, v, _)| v == value) {
                errors.push(json!({"value": value, "id": id.to_string(), "title": "DuplicateRule",
                    "type": problem("duplicate-rules")}));
            } else if value.contains("bad:") {
                errors.push(json!({"value": value, "details": ["Reference to invalid operator 'bad'"],
                    "title": "UnprocessableEntity", "type": problem("invalid-rules")}));
            } else if self.rules.len() + data.len() * usize::from(dry) >= self.max {
                return json!({"detail": "Rule cap exceeded", "title": "RulesCapProblem",
                    "type": problem("rule-cap")});
            } else if dry {
                data.push(json!({"value": value}));
            } else {
                data.push(self.insert(value, rule["tag"].as_str()));
            }
        }
        json!({"data": data, "errors": errors, "meta": {"summary": {"created": data.len()}}})
    }
}

fn shown((id, value, tag): &(u64, String, Option<String>)) -> Value {
    let mut rule = json!({"id": id.to_string(), "value": value});
    if let Some(tag) = tag {
        rule["tag"] = json!(tag);
    }
    rule
}
