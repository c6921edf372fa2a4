"""The gate, kafka-health: what it makes of the output of Kafka's commands."""

import importlib.machinery
import importlib.util
import pathlib
import unittest

FILE = pathlib.Path(__file__).parents[2] / "roles" / "kafka" / "files" / "kafka-health"
LOADER = importlib.machinery.SourceFileLoader("kafka_health", str(FILE))
health = importlib.util.module_from_spec(importlib.util.spec_from_loader("kafka_health", LOADER))
LOADER.exec_module(health)

# As Kafka 4.3.1 prints it.
QUORUM = """\
NodeId\tDirectoryId           \tLogEndOffset\tLag\tLastFetchTimestamp\tLastCaughtUpTimestamp\tStatus  
1     \tAAAAAAAAAAAAAAAAAAAAAA\t5000        \t0  \t{now}     \t{now}        \tLeader  
2     \tBBBBBBBBBBBBBBBBBBBBBB\t4999        \t1  \t{now}     \t{second}        \tFollower
3     \tCCCCCCCCCCCCCCCCCCCCCC\t5000        \t0  \t{now}     \t{now}        \t{third}
"""
BROKERS = """\
h1:9094 (id: 1 rack: null isFenced: false) -> (
\tProduce(0): 3 to 13 [usable: 13],
)
h3:9094 (id: 3 rack: eu-central-1a isFenced: false) -> (
\tProduce(0): 3 to 13 [usable: 13],
)
"""
PARTITIONS = """\
\tTopic: events\tPartition: 3\tLeader: 1\tReplicas: 1,2,3\tIsr: 1,3\tElr: \tLastKnownElr: 
\tTopic: __consumer_offsets\tPartition: 11\tLeader: none\tReplicas: 2\tIsr: \tElr: 2\tLastKnownElr: 
"""


def problems(second=1000000, third="Follower", nodes=(1, 2, 3)):
    """What is wrong with the quorum above, with these values in it."""
    rows = health.quorum(QUORUM.format(now=1000000, second=second, third=third))
    return health.quorum_problems(rows, set(nodes), 10)


class Quorum(unittest.TestCase):
    """The controllers."""

    def test_a_current_quorum_has_no_problem(self):
        self.assertEqual(problems(), [])
        self.assertEqual(problems(second=990000), [])
        self.assertEqual(health.leader(health.quorum(QUORUM.format(now=1, second=1, third="Follower"))), 1)

    def test_one_that_is_behind_or_was_never_there_is_named(self):
        for behind in (989999, -1):
            self.assertEqual(problems(second=behind), ["controller 2 is behind the leader: 1 entries"])

    def test_an_observer_is_no_voter(self):
        self.assertEqual(problems(third="Observer"), ["controller 3 is no voter"])

    def test_without_a_leader_nothing_is_healthy(self):
        rows = [row for row in health.quorum(QUORUM.format(now=1, second=1, third="Follower")) if row["NodeId"] != "1"]
        self.assertEqual(health.quorum_problems(rows, {1, 2, 3}, 10), ["the controllers have no leader"])

    def test_what_is_no_table_is_an_error(self):
        with self.assertRaises(health.Unanswered):
            health.quorum("")


class Brokers(unittest.TestCase):
    """The brokers and their partitions."""

    def test_a_broker_that_does_not_answer_is_named(self):
        self.assertEqual(health.brokers(BROKERS), {1, 3})
        self.assertEqual(health.broker_problems({1, 3}, {1, 2, 3}), ["broker 2 does not answer"])

    def test_partitions_that_lack_a_replica_are_counted_and_named(self):
        found = health.partitions(PARTITIONS)
        self.assertEqual(found, ["events-3", "__consumer_offsets-11"])
        self.assertIn("2 partitions", health.partition_problems(found)[0])
        self.assertEqual(health.partition_problems([]), [])


class Waiting(unittest.TestCase):
    """How long is looked."""

    def test_it_looks_until_healthy_or_late(self):
        class Fake:
            """Healthy at the third look."""

            looks = 0

            def problems(self):
                self.looks += 1
                return [] if self.looks == 3 else ["not yet"]

        health.PAUSE_SECONDS = 0
        fake = Fake()
        self.assertEqual(health.wait(fake, 60), [])
        self.assertEqual(fake.looks, 3)
        self.assertEqual(health.wait(Fake(), 0), ["not yet"])


if __name__ == "__main__":
    unittest.main()
