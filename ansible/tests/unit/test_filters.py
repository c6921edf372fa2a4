"""The filters: what Kafka's commands print, and TOML."""

import importlib.util
import pathlib
import tomllib
import unittest

PLUGINS = pathlib.Path(__file__).parents[2] / "filter_plugins"


def load(name):
    """A filter plugin as a module."""
    spec = importlib.util.spec_from_file_location(name, PLUGINS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


kafka, spillway = load("kafka"), load("spillway")

# As Kafka 4.3.1 prints them.
TOPICS = """\
Topic: events\tTopicId: sJ9gT5xOQ3mEUgK1vXXh4A\tPartitionCount: 12\tReplicationFactor: 3\tConfigs: min.insync.replicas=2,retention.ms=604800000
\tTopic: events\tPartition: 0\tLeader: 1\tReplicas: 1,2,3\tIsr: 1,2,3\tElr: \tLastKnownElr: 
Topic: odd\tTopicId: AAAgT5xOQ3mEUgK1vXXh4A\tPartitionCount: 1\tReplicationFactor: 3\tConfigs: cleanup.policy=compact,delete,segment.bytes=104857600
\tTopic: odd\tPartition: 0\tLeader: 2\tReplicas: 2,3,1\tIsr: 2,3,1\tElr: \tLastKnownElr: 
Topic: bare\tTopicId: BBBgT5xOQ3mEUgK1vXXh4A\tPartitionCount: 1\tReplicationFactor: 1\tConfigs: 
"""
ACLS = """\
Current ACLs for resource `ResourcePattern(resourceType=TOPIC, name=events, patternType=LITERAL)`: 
 \t(principal=User:edge, host=*, operation=WRITE, permissionType=ALLOW)
\t(principal=User:edge, host=*, operation=ALTER_CONFIGS, permissionType=ALLOW)
\t(principal=User:other, host=*, operation=ALL, permissionType=ALLOW) 

Current ACLs for resource `ResourcePattern(resourceType=GROUP, name=readers, patternType=PREFIXED)`: 
 \t(principal=User:edge, host=10.0.0.1, operation=READ, permissionType=DENY) 
"""
USERS = """\
SCRAM credential configs for user-principal 'edge' are SCRAM-SHA-512=iterations=8192
Quota configs for user-principal 'slow' are producer_byte_rate=1024.0
"""


class Topics(unittest.TestCase):
    """kafka_topics and kafka_topic_changes."""

    found = kafka.kafka_topics(TOPICS)

    def test_a_description_is_read_with_commas_in_values(self):
        self.assertEqual(self.found["events"]["partitions"], 12)
        self.assertEqual(self.found["events"]["config"], {"min.insync.replicas": "2", "retention.ms": "604800000"})
        self.assertEqual(self.found["odd"]["config"], {"cleanup.policy": "compact,delete", "segment.bytes": "104857600"})
        self.assertEqual(self.found["bare"], {"partitions": 1, "replication_factor": 1, "config": {}})

    def changes(self, **topic):
        return kafka.kafka_topic_changes([topic], self.found)

    def test_what_is_as_it_shall_be_is_left_alone(self):
        topic = {"name": "events", "partitions": 12, "replication_factor": 3, "config": {"min.insync.replicas": 2}}
        self.assertEqual(self.changes(**topic), [])
        self.assertEqual(self.changes(name="bare"), [])

    def test_each_difference_has_its_change(self):
        self.assertEqual(self.changes(name="new", config={"a.b": True})[0], {"do": "create", "name": "new", "config": {"a.b": "true"}})
        self.assertEqual(self.changes(name="events", partitions=24)[0], {"do": "grow", "name": "events", "partitions": 24})
        changed = self.changes(name="events", config={"retention.ms": 1, "min.insync.replicas": 2})
        self.assertEqual(changed, [{"do": "config", "name": "events", "config": {"retention.ms": "1"}}])

    def test_what_cannot_be_done_is_named(self):
        for wrong in ({"partitions": 6}, {"replication_factor": 2}):
            self.assertEqual([change["do"] for change in self.changes(name="events", **wrong)], ["wrong"])


class Rights(unittest.TestCase):
    """kafka_acl_changes and kafka_scram_users."""

    def commands(self, *users):
        return [" ".join(change["arguments"]) for change in kafka.kafka_acl_changes(list(users), ACLS)]

    def test_what_is_missing_is_added_and_the_rest_removed(self):
        acls = [{"resource": "topic", "name": "events", "operations": ["Describe", "Write"]}]
        self.assertEqual(
            self.commands({"name": "edge", "acls": acls}),
            [
                "--add --allow-principal User:edge --allow-host * --operation Describe --topic events --resource-pattern-type literal",
                "--remove --force --allow-principal User:edge --allow-host * --operation AlterConfigs --topic events"
                " --resource-pattern-type literal",
                "--remove --force --deny-principal User:edge --deny-host 10.0.0.1 --operation Read --group readers"
                " --resource-pattern-type prefixed",
            ],
        )

    def test_operations_are_told_in_any_spelling(self):
        acls = [
            {"resource": "topic", "name": "events", "operations": ["WRITE", "AlterConfigs"]},
            {"resource": "cluster", "name": "kafka-cluster", "operations": ["idempotent-write"]},
        ]
        added = [line for line in self.commands({"name": "edge", "acls": acls}) if line.startswith("--add")]
        self.assertEqual(
            added,
            [
                "--add --allow-principal User:edge --allow-host * --operation IdempotentWrite --cluster kafka-cluster"
                " --resource-pattern-type literal"
            ],
        )

    def test_an_absent_user_loses_everything_and_others_nothing(self):
        acls = [{"resource": "topic", "name": "events", "operations": ["Write"]}]
        lines = self.commands({"name": "edge", "state": "absent", "acls": acls})
        self.assertEqual(len(lines), 2)
        self.assertTrue(all(line.startswith("--remove") and "User:edge" in line for line in lines))
        self.assertEqual(self.commands({"name": "nobody"}), [])

    def test_only_users_with_a_login_are_found(self):
        self.assertEqual(kafka.kafka_scram_users(USERS), ["edge"])


class Toml(unittest.TestCase):
    """to_toml and merge_tables."""

    def test_what_is_written_is_read_as_it_was(self):
        config = {
            "kafka": {"brokers": "h1:9092", "tls": True, "options": {"socket.timeout.ms": 10000, "a": "b"}},
            "source": [{"name": "a", "equals": ["x", "y"]}, {"name": 'quoted "b" \\ \x7f ü\n'}],
            "queue": {"spill_at": 0.7, "max_records": 50000},
            "empty": {},
        }
        self.assertEqual(tomllib.loads(spillway.to_toml(config)), config)

    def test_none_leaves_a_setting_out(self):
        self.assertEqual(tomllib.loads(spillway.to_toml({"log": {"level": None, "x": 1}, "admin": None})), {"log": {"x": 1}})

    def test_what_is_no_configuration_is_refused(self):
        for wrong in ([1], {"log": "info"}, {"log": {"level": object()}}):
            with self.assertRaises(spillway.AnsibleFilterError):
                spillway.to_toml(wrong)

    def test_settings_are_merged_and_lists_of_tables_replaced(self):
        over = {"kafka": {"topic": "b"}, "source": [{"name": "c"}], "log": {"level": "warn"}}
        merged = spillway.merge_tables({"kafka": {"topic": "a", "tls": True}, "source": {"name": "a"}}, over)
        self.assertEqual(merged, {"kafka": {"topic": "b", "tls": True}, "source": [{"name": "c"}], "log": {"level": "warn"}})


if __name__ == "__main__":
    unittest.main()
