//! Where the brokers of a cluster live: ports, folders and each broker's `server.properties`. Pure but
//! for the search for free ports.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use super::Via;
use super::error::Error;
use super::jars::write;
use super::tls::Tls;
use crate::rng::Rng;

/// A way into the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listener {
    /// No encryption, no authentication.
    Plain,
    /// TLS; a client certificate is taken, not asked for by force.
    Tls,
    /// `SASL_PLAINTEXT`: SCRAM-SHA-512, SCRAM-SHA-256, PLAIN, OAUTHBEARER (unsigned tokens).
    SaslPlain,
    /// `SASL_SSL`: the same mechanisms over TLS.
    SaslTls,
    /// Through the [`Network`](super::Network), which tests can cut. Plain or SASL, as
    /// [`Via`](super::Via) says.
    Proxied,
}

/// Ports of one broker, counted from its first; what clients see of [`Listener::Proxied`] is `WIRE`.
const PLAIN: u16 = 0;
const TLS: u16 = 1;
const SASL_PLAIN: u16 = 2;
const SASL_TLS: u16 = 3;
const REPLICATION: u16 = 4;
const CONTROLLER: u16 = 5;
const PROXIED: u16 = 6;
const WIRE: u16 = 7;
const PORTS_PER_BROKER: u16 = 10;
/// Ports that one cluster reserves: one to lock the block, then those of at most six brokers.
const BLOCK: u16 = 64;
/// Below the ephemeral range of Linux (32768 on), so that no outgoing connection takes a broker's port
/// while it is down.
const PORTS: std::ops::Range<u16> = 10_000..32_000;

/// The user that every cluster has, for SCRAM and PLAIN.
pub(super) const USER: &str = "spillway";
/// Its password.
pub(super) const PASSWORD: &str = "spillway-secret";

/// A block of ports on loopback that no other cluster of this harness uses, as long as this lives.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) first: u16,
    _lock: TcpListener,
}

impl Block {
    pub(super) fn reserve(brokers: u8) -> Result<Self, Error> {
        // Where the search starts need not be replayable, only different between processes.
        let seed = format!("{} {:?}", std::process::id(), std::time::SystemTime::now());
        let mut rng = Rng::new(crate::hash(seed.as_bytes()));
        let blocks = usize::from((PORTS.end - PORTS.start) / BLOCK);
        let start = rng.index(blocks);
        (0..blocks)
            .map(|n| u16::try_from((start + n) % blocks).unwrap_or(0) * BLOCK + PORTS.start)
            .find_map(|base| Self::try_at(base, brokers))
            .ok_or(Error::Ports)
    }

    fn try_at(base: u16, brokers: u8) -> Option<Self> {
        let free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok();
        let lock = free(base)?;
        let first = base + 1;
        let mut all = first..first + u16::from(brokers) * PORTS_PER_BROKER;
        all.all(|port| free(port).is_some()).then_some(Self { first, _lock: lock })
    }
}

/// All that the files of a cluster depend on.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) dir: PathBuf,
    pub(super) brokers: u8,
    /// The first port of the first broker, and the distance between two brokers.
    pub(super) first_port: u16,
    pub(super) port_step: u16,
    /// `None`: no proxied listener.
    pub(super) via: Option<Via>,
    /// PKCS#12 stores for TLS.
    pub(super) keystore: PathBuf,
    pub(super) truststore: PathBuf,
    pub(super) store_password: &'static str,
}

impl Layout {
    /// Ten ports a broker, one broker after the other.
    pub(super) const STEP: u16 = PORTS_PER_BROKER;

    /// `ports`: the first of the first broker, and the distance between two brokers.
    pub(super) fn new(dir: PathBuf, brokers: u8, ports: (u16, u16), via: Option<Via>, tls: &Tls) -> Self {
        Self {
            dir,
            brokers,
            first_port: ports.0,
            port_step: ports.1,
            via,
            keystore: tls.broker_keystore(),
            truststore: tls.truststore(),
            store_password: tls.password(),
        }
    }

    /// Makes the folders and the brokers' `server.properties`.
    pub(super) fn write_files(&self) -> Result<(), Error> {
        self.ids().try_for_each(|id| {
            let home = self.home(id);
            std::fs::create_dir_all(&home).map_err(Error::file("create", home))?;
            write(&self.properties_file(id), &self.properties(id))
        })
    }

    /// The ports that a broker listens on.
    pub(super) fn ports(&self, broker: u8) -> impl Iterator<Item = u16> {
        let last = if self.via.is_some() { PROXIED } else { CONTROLLER };
        self.port(broker, PLAIN)..=self.port(broker, last)
    }

    /// Whether the broker's storage was formatted.
    pub(super) fn is_formatted(&self, broker: u8) -> bool {
        self.home(broker).join("data/meta.properties").exists()
    }

    pub(super) fn all_properties(&self) -> Vec<String> {
        self.ids().map(|id| self.properties_file(id).display().to_string()).collect()
    }

    fn port(&self, broker: u8, offset: u16) -> u16 {
        self.first_port + (u16::from(broker) - 1) * self.port_step + offset
    }

    pub(super) fn ids(&self) -> std::ops::RangeInclusive<u8> {
        1..=self.brokers
    }

    /// What clients connect to, for one broker.
    pub(super) fn address(&self, broker: u8, listener: Listener) -> String {
        let host = match (&self.via, listener) {
            (Some(via), Listener::Proxied) => via.host.as_str(),
            _ => "127.0.0.1",
        };
        let offset = match listener {
            Listener::Plain => PLAIN,
            Listener::Tls => TLS,
            Listener::SaslPlain => SASL_PLAIN,
            Listener::SaslTls => SASL_TLS,
            Listener::Proxied => WIRE,
        };
        format!("{host}:{}", self.port(broker, offset))
    }

    /// What clients connect to, for `bootstrap.servers`.
    pub(super) fn bootstrap(&self, listener: Listener) -> String {
        self.ids().map(|id| self.address(id, listener)).collect::<Vec<_>>().join(",")
    }

    /// For the harness itself: the listener that no test cuts, limits or authenticates.
    pub(super) fn inside(&self) -> String {
        self.ids().map(|id| format!("127.0.0.1:{}", self.port(id, REPLICATION))).collect::<Vec<_>>().join(",")
    }

    /// Where the harness asks one broker whether it answers.
    pub(super) fn inside_of(&self, broker: u8) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port(broker, REPLICATION)).into()
    }

    /// The port that clients of [`Listener::Proxied`] see and the broker's own behind it.
    pub(super) fn wire(&self, broker: u8) -> (u16, u16) {
        (self.port(broker, WIRE), self.port(broker, PROXIED))
    }

    pub(super) fn home(&self, broker: u8) -> PathBuf {
        self.dir.join(format!("broker-{broker}"))
    }

    pub(super) fn properties_file(&self, broker: u8) -> PathBuf {
        self.home(broker).join("server.properties")
    }

    pub(super) fn log_file(&self, broker: u8) -> PathBuf {
        self.home(broker).join("broker.log")
    }

    /// Holds the process id while the broker runs.
    pub(super) fn pid_file(&self, broker: u8) -> PathBuf {
        self.home(broker).join("pid")
    }

    /// The text of a broker's `server.properties`.
    pub(super) fn properties(&self, broker: u8) -> String {
        [self.identity(broker), self.listeners(broker), self.security(), self.topics(), tuning()].join("\n")
    }

    fn identity(&self, broker: u8) -> String {
        let voters: Vec<_> =
            self.ids().map(|id| format!("{id}@127.0.0.1:{}", self.port(id, CONTROLLER))).collect();
        format!(
            "process.roles=broker,controller\nnode.id={broker}\ncontroller.quorum.voters={}\nlog.dirs={}\n",
            voters.join(","),
            self.home(broker).join("data").display()
        )
    }

    fn listeners(&self, broker: u8) -> String {
        let mut doors = vec![
            ("PLAIN", "PLAINTEXT", PLAIN),
            ("TLS", "SSL", TLS),
            ("SASLPLAIN", "SASL_PLAINTEXT", SASL_PLAIN),
            ("SASLTLS", "SASL_SSL", SASL_TLS),
            ("REPLICATION", "PLAINTEXT", REPLICATION),
            ("CONTROLLER", "PLAINTEXT", CONTROLLER),
        ];
        if let Some(via) = &self.via {
            doors.push(("PROXIED", if via.sasl { "SASL_PLAINTEXT" } else { "PLAINTEXT" }, PROXIED));
        }
        let join = |each: &dyn Fn(&(&str, &str, u16)) -> String| {
            doors.iter().map(each).collect::<Vec<_>>().join(",")
        };
        let bound = join(&|(name, _, offset)| format!("{name}://127.0.0.1:{}", self.port(broker, *offset)));
        let map = join(&|(name, protocol, _)| format!("{name}:{protocol}"));
        let told = join(&|(name, _, offset)| match *name {
            "PROXIED" => format!("PROXIED://{}", self.address(broker, Listener::Proxied)),
            name => format!("{name}://127.0.0.1:{}", self.port(broker, *offset)),
        });
        format!(
            "listeners={bound}\nadvertised.listeners={told}\nlistener.security.protocol.map={map}\ninter.broker.listener.name=REPLICATION\ncontroller.listener.names=CONTROLLER\n"
        )
    }

    fn security(&self) -> String {
        let mut text =
            String::from("sasl.enabled.mechanisms=SCRAM-SHA-512,SCRAM-SHA-256,PLAIN,OAUTHBEARER\n");
        for name in ["saslplain", "sasltls", "proxied"] {
            let module = |mechanism: &str, class: &str, more: &str| {
                format!(
                    "listener.name.{name}.{mechanism}.sasl.jaas.config=org.apache.kafka.common.security.{class} required{more};\n"
                )
            };
            text += &module("scram-sha-512", "scram.ScramLoginModule", "");
            text += &module("scram-sha-256", "scram.ScramLoginModule", "");
            text += &module("plain", "plain.PlainLoginModule", &format!(" user_{USER}=\"{PASSWORD}\""));
            text += &module(
                "oauthbearer",
                "oauthbearer.OAuthBearerLoginModule",
                " unsecuredLoginStringClaim_sub=\"broker\"",
            );
        }
        let Self { keystore, truststore, store_password: password, .. } = self;
        text + &format!(
            "ssl.keystore.type=PKCS12\nssl.keystore.location={}\nssl.keystore.password={password}\nssl.truststore.type=PKCS12\nssl.truststore.location={}\nssl.truststore.password={password}\nssl.client.auth=requested\nauthorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\nsuper.users=User:ANONYMOUS\nallow.everyone.if.no.acl.found=true\n",
            keystore.display(),
            truststore.display()
        )
    }

    fn topics(&self) -> String {
        let replicas = self.brokers.min(3);
        format!(
            "auto.create.topics.enable=false\nnum.partitions=12\ndefault.replication.factor={replicas}\nmin.insync.replicas={in_sync}\noffsets.topic.replication.factor={replicas}\noffsets.topic.num.partitions=3\ntransaction.state.log.replication.factor={replicas}\ntransaction.state.log.min.isr={in_sync}\ntransaction.state.log.num.partitions=3\nshare.coordinator.state.topic.replication.factor={replicas}\nshare.coordinator.state.topic.min.isr={in_sync}\n",
            in_sync = replicas.min(2),
        )
    }
}

/// Small and fast to fail over, where a production broker is large and patient.
fn tuning() -> String {
    [
        // A killed or frozen broker loses its leaderships after 4 s; 9 s by default. Shorter, and a busy
        // test machine would be taken for a dead broker.
        "broker.session.timeout.ms=4000",
        "broker.heartbeat.interval.ms=500",
        // A follower that stands still leaves the in-sync set after 5 s; 30 s by default.
        "replica.lag.time.max.ms=5000",
        "controlled.shutdown.max.retries=1",
        // Leaders move when a test says so, not five minutes into it.
        "auto.leader.rebalance.enable=false",
        // Consumers start at once.
        "group.initial.rebalance.delay.ms=0",
        // Threads and buffers for a machine that runs all brokers and the test.
        "num.network.threads=2",
        "num.io.threads=4",
        "background.threads=2",
        "num.recovery.threads.per.data.dir=2",
        // 128 MB of heap by default.
        "log.cleaner.dedupe.buffer.size=4194304",
        "log.cleaner.threads=1",
        "",
    ]
    .join("\n")
}

/// The last lines of a log, for an error message.
pub(super) fn tail(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(25)..].join("\n")
}
