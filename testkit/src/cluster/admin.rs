//! The cluster's administrator: one resident Java process (testkit/kafka/Admin.java), so that a command
//! takes milliseconds and not the start of a Java machine.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use super::error::Error;
use super::node::{ending, java};

/// A partition's leader and its replicas in sync, by broker number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leader {
    /// The partition.
    pub partition: i32,
    /// The broker that leads it, `None` when no one does.
    pub leader: Option<i32>,
    /// The brokers in sync, in order.
    pub isr: Vec<i32>,
}

/// Commands to the cluster. They go over a listener of their own, which no test cuts; while too many
/// brokers are down or frozen they fail after 15 s with an error that [`Error::is_timeout`].
#[derive(Debug)]
pub struct Admin {
    process: Mutex<Process>,
}

#[derive(Debug)]
struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Admin {
    pub(super) fn start(classpath: &str, log: &Path) -> Result<Self, Error> {
        let log_file = std::fs::File::create(log).map_err(Error::file("create", log))?;
        let mut java = java(classpath);
        java.args(["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "Admin"]);
        java.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log_file);
        let hint = "install a JDK of version 17 or newer, for example the package openjdk-17-jdk-headless";
        let mut child = java.spawn().map_err(|source| Error::Program { program: "java", hint, source })?;
        let stdin = child.stdin.take();
        let Some(stdout) = child.stdout.take().map(BufReader::new) else {
            return Err(Error::Admin("it has no output".to_owned()));
        };
        Ok(Self { process: Mutex::new(Process { child, stdin, stdout }) })
    }

    /// Formats the storage of brokers whose `server.properties` these are.
    pub(super) fn format(&self, properties: &[String], user: &str, password: &str) -> Result<(), Error> {
        // A cluster's id is 16 bytes in URL-safe Base64; clusters never meet, so one does for all.
        let id = "c3BpbGx3YXktdGVzdGtpdA";
        let command = json!({"do": "format", "cluster_id": id, "properties": properties, "user": user, "password": password});
        self.call(&command).map(drop)
    }

    pub(super) fn connect(&self, bootstrap: &str) -> Result<(), Error> {
        self.call(&json!({"do": "connect", "bootstrap": bootstrap})).map(drop)
    }

    /// The brokers that take part, by number, in order.
    ///
    /// # Errors
    /// When no broker answers.
    pub fn brokers(&self) -> Result<Vec<i32>, Error> {
        let answer = self.call(&json!({"do": "brokers"}))?;
        Ok(numbers(&answer))
    }

    /// Creates a topic and waits until all its replicas are in sync. `configs` are the topic's settings,
    /// such as `("max.message.bytes", "20000")`.
    ///
    /// # Errors
    /// When Kafka refuses; see [`Error::is_topic_exists`].
    pub fn create_topic(
        &self,
        topic: &str,
        partitions: i32,
        replication: i16,
        configs: &[(&str, &str)],
    ) -> Result<(), Error> {
        let configs: serde_json::Map<_, _> =
            configs.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
        self.call(&json!({"do": "create_topic", "topic": topic, "partitions": partitions, "replication": replication, "configs": configs}))
            .map(drop)
    }

    /// Deletes a topic and waits until its name is free.
    ///
    /// # Errors
    /// When Kafka refuses.
    pub fn delete_topic(&self, topic: &str) -> Result<(), Error> {
        self.call(&json!({"do": "delete_topic", "topic": topic})).map(drop)
    }

    /// Changes a setting of a topic; `None` takes it back to the default.
    ///
    /// # Errors
    /// When Kafka refuses.
    pub fn alter_topic_config(&self, topic: &str, key: &str, value: Option<&str>) -> Result<(), Error> {
        self.call(&json!({"do": "alter_topic", "topic": topic, "configs": {key: value}})).map(drop)
    }

    /// Raises the number of partitions to `total` and waits for their leaders.
    ///
    /// # Errors
    /// When Kafka refuses.
    pub fn add_partitions(&self, topic: &str, total: i32) -> Result<(), Error> {
        self.call(&json!({"do": "add_partitions", "topic": topic, "total": total})).map(drop)
    }

    /// Creates a SCRAM user (SHA-512 and SHA-256), or changes its password.
    ///
    /// # Errors
    /// When Kafka refuses.
    pub fn scram_upsert(&self, user: &str, password: &str) -> Result<(), Error> {
        self.call(&json!({"do": "scram_upsert", "user": user, "password": password})).map(drop)
    }

    /// Deletes a SCRAM user. Its open connections stay: cut them as well.
    ///
    /// # Errors
    /// When Kafka refuses.
    pub fn scram_delete(&self, user: &str) -> Result<(), Error> {
        self.call(&json!({"do": "scram_delete", "user": user})).map(drop)
    }

    /// Limits what a user (or each client id, for `None`) may produce: bytes a second on each broker.
    ///
    /// # Errors
    /// When Kafka refuses.
    pub fn quota_set(&self, user: Option<&str>, producer_byte_rate: f64) -> Result<(), Error> {
        self.quota(user, json!({"do": "quota", "rate": producer_byte_rate}))
    }

    /// Removes the limit of [`Admin::quota_set`].
    ///
    /// # Errors
    /// When Kafka refuses.
    pub fn quota_clear(&self, user: Option<&str>) -> Result<(), Error> {
        self.quota(user, json!({"do": "quota"}))
    }

    fn quota(&self, user: Option<&str>, mut command: Value) -> Result<(), Error> {
        if let Some(user) = user {
            command["user"] = json!(user);
        }
        self.call(&command).map(drop)
    }

    /// Forbids a SASL user to write to a topic. From then on all but this user's writes and those of
    /// clients without a name are judged by the topic's ACLs: other SASL users are refused too.
    ///
    /// # Errors
    /// When Kafka refuses.
    pub fn deny_writes(&self, topic: &str, user: &str) -> Result<(), Error> {
        self.call(&json!({"do": "deny", "topic": topic, "user": user})).map(drop)
    }

    /// Removes all ACLs of a topic.
    ///
    /// # Errors
    /// When Kafka refuses.
    pub fn allow_writes(&self, topic: &str) -> Result<(), Error> {
        self.call(&json!({"do": "allow", "topic": topic})).map(drop)
    }

    /// Gives every partition another leader: the next of its replicas.
    ///
    /// # Errors
    /// When Kafka refuses, for example because that replica is down.
    pub fn move_leaders(&self, topic: &str) -> Result<(), Error> {
        self.call(&json!({"do": "move_leaders", "topic": topic})).map(drop)
    }

    /// Gives every partition its preferred leader back, as after the restart of a broker.
    ///
    /// # Errors
    /// When Kafka refuses, for example because that replica is down.
    pub fn elect_preferred(&self, topic: &str) -> Result<(), Error> {
        self.call(&json!({"do": "elect_preferred", "topic": topic})).map(drop)
    }

    /// The partitions' leaders, in order of the partitions.
    ///
    /// # Errors
    /// When Kafka refuses, for example because there is no such topic.
    pub fn leaders(&self, topic: &str) -> Result<Vec<Leader>, Error> {
        let answer = self.call(&json!({"do": "leaders", "topic": topic}))?;
        let one = |row: &Value| {
            let leader = number(&row[1]).filter(|id| *id >= 0);
            Some(Leader { partition: number(&row[0])?, leader, isr: numbers(&row[2]) })
        };
        Ok(answer.as_array().into_iter().flatten().filter_map(one).collect())
    }

    /// Partitions and the offsets that their next records will get.
    ///
    /// # Errors
    /// When Kafka refuses, for example because a partition has no leader.
    pub fn end_offsets(&self, topic: &str) -> Result<Vec<(i32, i64)>, Error> {
        let answer = self.call(&json!({"do": "end_offsets", "topic": topic}))?;
        let one = |row: &Value| Some((number(&row[0])?, row[1].as_i64()?));
        Ok(answer.as_array().into_iter().flatten().filter_map(one).collect())
    }

    fn call(&self, command: &Value) -> Result<Value, Error> {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        let line = process.ask(&command.to_string()).map_err(|source| {
            let status = process.child.try_wait().ok().flatten().map(ending);
            Error::Admin(format!("{source}; {}", status.unwrap_or_else(|| "it runs".to_owned())))
        })?;
        let mut answer: Value = serde_json::from_str(&line)
            .map_err(|source| Error::Admin(format!("its answer is no JSON: {source}: {line:?}")))?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        if answer["error"].is_null() {
            return Ok(answer["ok"].take());
        }
        let mut shown = command.clone();
        if let Some(password) = shown.get_mut("password") {
            *password = json!("***");
        }
        Err(Error::Refused {
            command: shown.to_string(),
            exception: text(&answer["error"]),
            message: text(&answer["message"]),
        })
    }
}

impl Process {
    fn ask(&mut self, command: &str) -> std::io::Result<String> {
        let stdin = self.stdin.as_mut().ok_or(std::io::ErrorKind::BrokenPipe)?;
        stdin.write_all(format!("{command}\n").as_bytes())?;
        stdin.flush()?;
        let mut line = String::new();
        match self.stdout.read_line(&mut line)? {
            0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(line),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The end of its input would end it too, but not before a command under way.
        drop(self.stdin.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn number(value: &Value) -> Option<i32> {
    value.as_i64().and_then(|n| i32::try_from(n).ok())
}

fn numbers(value: &Value) -> Vec<i32> {
    value.as_array().into_iter().flatten().filter_map(number).collect()
}
