// A Kafka administrator that stays: it starts one Java machine for a whole test instead of one a command.
//
// Each line of standard input is a command, a JSON object with "do" and its arguments; each is answered
// by one line: {"ok": value} or {"error": "SimpleNameOfTheException", "message": "..."}. It ends at the
// end of its input, so it never outlives the test. What it logs goes to standard error.
//
// The Rust side is testkit/src/cluster/admin.rs.

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.AdminClient;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewPartitionReassignment;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.ScramCredentialInfo;
import org.apache.kafka.clients.admin.ScramMechanism;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.admin.UserScramCredentialDeletion;
import org.apache.kafka.clients.admin.UserScramCredentialUpsertion;
import org.apache.kafka.common.ElectionType;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.TopicPartitionInfo;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.acl.AccessControlEntryFilter;
import org.apache.kafka.common.acl.AclBindingFilter;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.ElectionNotNeededException;
import org.apache.kafka.common.errors.TimeoutException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.quota.ClientQuotaAlteration;
import org.apache.kafka.common.quota.ClientQuotaEntity;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourceType;

public final class Admin {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final List<ScramMechanism> MECHANISMS =
        List.of(ScramMechanism.SCRAM_SHA_512, ScramMechanism.SCRAM_SHA_256);
    private static final int SCRAM_ITERATIONS = 4096;
    private static final long WAIT_MS = 30_000;
    private static final long POLL_MS = 50;

    private AdminClient client;

    public static void main(String[] args) throws Exception {
        PrintStream answers = System.out;
        System.setOut(System.err); // Kafka's tools print; the answers must stay alone on their stream.
        Admin admin = new Admin();
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in, "UTF-8"));
        for (String line = commands.readLine(); line != null; line = commands.readLine()) {
            answers.println(JSON.writeValueAsString(admin.answer(JSON.readTree(line))));
            answers.flush();
        }
        System.exit(0); // The client's threads may wait for brokers that are gone.
    }

    private ObjectNode answer(JsonNode command) {
        ObjectNode answer = JSON.createObjectNode();
        try {
            answer.set("ok", run(command));
        } catch (Throwable failure) {
            Throwable cause = failure instanceof ExecutionException ? failure.getCause() : failure;
            answer.put("error", cause.getClass().getSimpleName());
            answer.put("message", String.valueOf(cause.getMessage()));
        }
        return answer;
    }

    private JsonNode run(JsonNode c) throws Exception {
        switch (c.get("do").asText()) {
            case "format": return format(c);
            case "connect": return connect(c);
            case "brokers": return brokers();
            case "create_topic": return createTopic(c);
            case "delete_topic": return deleteTopic(text(c, "topic"));
            case "alter_topic": return alterTopic(c);
            case "add_partitions": return addPartitions(c);
            case "scram_upsert": return scramUpsert(c);
            case "scram_delete": return scramDelete(c);
            case "quota": return quota(c);
            case "deny": return deny(c);
            case "allow": return allow(c);
            case "move_leaders": return moveLeaders(text(c, "topic"));
            case "elect_preferred": return electPreferred(text(c, "topic"));
            case "leaders": return leaders(text(c, "topic"));
            case "end_offsets": return endOffsets(text(c, "topic"));
            default: throw new IllegalArgumentException("no such command: " + c);
        }
    }

    /** Formats the storage of brokers, as kafka-storage.sh does. */
    private JsonNode format(JsonNode c) throws Exception {
        for (JsonNode properties : c.get("properties")) {
            String[] args = {
                "format", "--cluster-id", text(c, "cluster_id"), "--config", properties.asText(),
                "--add-scram", scram("SCRAM-SHA-512", c), "--add-scram", scram("SCRAM-SHA-256", c),
            };
            int code = kafka.tools.StorageTool.execute(args, System.err);
            if (code != 0) {
                throw new IllegalStateException("StorageTool format ended with " + code);
            }
        }
        return done();
    }

    private static String scram(String mechanism, JsonNode c) {
        return mechanism + "=[name=" + text(c, "user") + ",password=" + text(c, "password")
            + ",iterations=" + SCRAM_ITERATIONS + "]";
    }

    private JsonNode connect(JsonNode c) {
        client = AdminClient.create(Map.of(
            "bootstrap.servers", text(c, "bootstrap"),
            "client.id", "spillway-testkit-admin",
            "default.api.timeout.ms", "15000",
            "request.timeout.ms", "4000",
            "reconnect.backoff.max.ms", "200",
            "retry.backoff.ms", "50",
            "retry.backoff.max.ms", "200"));
        return done();
    }

    /** The ids of the brokers that are registered and not fenced. */
    private JsonNode brokers() throws Exception {
        ArrayNode ids = JSON.createArrayNode();
        client.describeCluster().nodes().get().stream().map(Node::id).sorted().forEach(ids::add);
        return ids;
    }

    private JsonNode createTopic(JsonNode c) throws Exception {
        Map<String, String> configs = new HashMap<>();
        c.get("configs").fields().forEachRemaining(e -> configs.put(e.getKey(), e.getValue().asText()));
        String name = text(c, "topic");
        short replication = (short) c.get("replication").asInt();
        NewTopic topic = new NewTopic(name, c.get("partitions").asInt(), replication).configs(configs);
        client.createTopics(List.of(topic)).all().get();
        await("every replica of " + name + " in sync", () -> {
            TopicDescription seen = describeIfThere(name);
            return seen != null && seen.partitions().size() == c.get("partitions").asInt()
                && seen.partitions().stream().allMatch(p -> p.leader() != null && p.isr().size() == replication);
        });
        return done();
    }

    /** Returns when the topic is gone from the brokers' metadata, so that its name can be used again. */
    private JsonNode deleteTopic(String name) throws Exception {
        client.deleteTopics(List.of(name)).all().get();
        await("the end of " + name, () -> describeIfThere(name) == null);
        return done();
    }

    /** As one of the brokers knows it; null when that one does not. */
    private TopicDescription describeIfThere(String name) throws Exception {
        try {
            return client.describeTopics(List.of(name)).allTopicNames().get().get(name);
        } catch (ExecutionException failure) {
            if (failure.getCause() instanceof UnknownTopicOrPartitionException) {
                return null;
            }
            throw failure;
        }
    }

    /** Waits until the broker that is asked knows the topic: one that is new is not known to all at once. */
    private TopicDescription describe(String name) throws Exception {
        TopicDescription[] seen = new TopicDescription[1];
        await(name + " to be known", () -> (seen[0] = describeIfThere(name)) != null);
        return seen[0];
    }

    private JsonNode alterTopic(JsonNode c) throws Exception {
        ConfigResource topic = new ConfigResource(ConfigResource.Type.TOPIC, text(c, "topic"));
        Collection<AlterConfigOp> changes = new ArrayList<>();
        c.get("configs").fields().forEachRemaining(e -> {
            boolean remove = e.getValue().isNull();
            ConfigEntry entry = new ConfigEntry(e.getKey(), remove ? "" : e.getValue().asText());
            changes.add(new AlterConfigOp(entry, remove ? AlterConfigOp.OpType.DELETE : AlterConfigOp.OpType.SET));
        });
        client.incrementalAlterConfigs(Map.of(topic, changes)).all().get();
        return done();
    }

    private JsonNode addPartitions(JsonNode c) throws Exception {
        String name = text(c, "topic");
        int total = c.get("total").asInt();
        client.createPartitions(Map.of(name, NewPartitions.increaseTo(total))).all().get();
        await(total + " partitions of " + name, () -> {
            List<TopicPartitionInfo> seen = describe(name).partitions();
            return seen.size() == total && seen.stream().allMatch(p -> p.leader() != null);
        });
        return done();
    }

    /** One request a mechanism: Kafka takes a user only once in each. */
    private JsonNode scramUpsert(JsonNode c) throws Exception {
        for (ScramMechanism mechanism : MECHANISMS) {
            ScramCredentialInfo info = new ScramCredentialInfo(mechanism, SCRAM_ITERATIONS);
            client.alterUserScramCredentials(List.of(
                new UserScramCredentialUpsertion(text(c, "user"), info, text(c, "password")))).all().get();
        }
        return done();
    }

    private JsonNode scramDelete(JsonNode c) throws Exception {
        for (ScramMechanism mechanism : MECHANISMS) {
            client.alterUserScramCredentials(List.of(
                new UserScramCredentialDeletion(text(c, "user"), mechanism))).all().get();
        }
        return done();
    }

    /** Without "rate": removes the quota. Without "user": that of every client without one of its own. */
    private JsonNode quota(JsonNode c) throws Exception {
        Map<String, String> names = new HashMap<>();
        names.put(c.has("user") ? ClientQuotaEntity.USER : ClientQuotaEntity.CLIENT_ID,
            c.has("user") ? text(c, "user") : null);
        Double rate = c.has("rate") ? c.get("rate").asDouble() : null;
        client.alterClientQuotas(List.of(new ClientQuotaAlteration(new ClientQuotaEntity(names),
            List.of(new ClientQuotaAlteration.Op("producer_byte_rate", rate))))).all().get();
        return done();
    }

    private JsonNode deny(JsonNode c) throws Exception {
        AccessControlEntry entry = new AccessControlEntry(
            "User:" + text(c, "user"), "*", AclOperation.WRITE, AclPermissionType.DENY);
        client.createAcls(List.of(new AclBinding(topicPattern(c), entry))).all().get();
        return done();
    }

    private JsonNode allow(JsonNode c) throws Exception {
        client.deleteAcls(List.of(new AclBindingFilter(
            topicPattern(c).toFilter(), AccessControlEntryFilter.ANY))).all().get();
        return done();
    }

    private static ResourcePattern topicPattern(JsonNode c) {
        return new ResourcePattern(ResourceType.TOPIC, text(c, "topic"), PatternType.LITERAL);
    }

    /** Gives each partition another leader: its second replica becomes the preferred one. No data moves. */
    private JsonNode moveLeaders(String name) throws Exception {
        Map<TopicPartition, Optional<NewPartitionReassignment>> moves = new HashMap<>();
        for (TopicPartitionInfo p : describe(name).partitions()) {
            List<Integer> replicas = new ArrayList<>(p.replicas().stream().map(Node::id).toList());
            replicas.add(replicas.remove(0));
            moves.put(new TopicPartition(name, p.partition()), Optional.of(new NewPartitionReassignment(replicas)));
        }
        client.alterPartitionReassignments(moves).all().get();
        Set<TopicPartition> moved = moves.keySet();
        await("new leaders of " + name,
            () -> client.listPartitionReassignments(moved).reassignments().get().isEmpty());
        return electPreferred(name);
    }

    private JsonNode electPreferred(String name) throws Exception {
        Map<TopicPartition, Optional<Throwable>> results =
            client.electLeaders(ElectionType.PREFERRED, partitions(name)).partitions().get();
        for (Optional<Throwable> failure : results.values()) {
            if (failure.isPresent() && !(failure.get() instanceof ElectionNotNeededException)) {
                throw new ExecutionException(failure.get());
            }
        }
        return done();
    }

    private Set<TopicPartition> partitions(String name) throws Exception {
        Set<TopicPartition> all = new java.util.HashSet<>();
        describe(name).partitions().forEach(p -> all.add(new TopicPartition(name, p.partition())));
        return all;
    }

    /** [[partition, leader or -1, [in-sync replicas]], ...] */
    private JsonNode leaders(String name) throws Exception {
        ArrayNode all = JSON.createArrayNode();
        for (TopicPartitionInfo p : describe(name).partitions()) {
            ArrayNode one = all.addArray().add(p.partition()).add(p.leader() == null ? -1 : p.leader().id());
            ArrayNode isr = one.addArray();
            p.isr().stream().map(Node::id).sorted().forEach(isr::add);
        }
        return all;
    }

    /** [[partition, end offset], ...] Of a new topic, waits until every broker that is asked knows it. */
    private JsonNode endOffsets(String name) throws Exception {
        TreeMap<Integer, Long> found = new TreeMap<>();
        await("the end offsets of " + name, () -> {
            try {
                Map<TopicPartition, OffsetSpec> asked = new HashMap<>();
                partitions(name).forEach(p -> asked.put(p, OffsetSpec.latest()));
                client.listOffsets(asked).all().get().forEach((p, r) -> found.put(p.partition(), r.offset()));
                return true;
            } catch (ExecutionException failure) {
                if (failure.getCause() instanceof UnknownTopicOrPartitionException) {
                    return false;
                }
                throw failure;
            }
        });
        ArrayNode all = JSON.createArrayNode();
        found.forEach((partition, offset) -> all.addArray().add(partition).add(offset));
        return all;
    }

    private interface Condition {
        boolean holds() throws Exception;
    }

    private static void await(String what, Condition condition) throws Exception {
        long deadline = System.nanoTime() + WAIT_MS * 1_000_000;
        while (!condition.holds()) {
            if (System.nanoTime() > deadline) {
                throw new TimeoutException("waited " + WAIT_MS + " ms for " + what);
            }
            Thread.sleep(POLL_MS);
        }
    }

    private static String text(JsonNode c, String key) {
        return c.get(key).asText();
    }

    private static JsonNode done() {
        return JSON.getNodeFactory().booleanNode(true);
    }
}
