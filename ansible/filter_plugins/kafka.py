"""What Kafka's commands print, as data, and what has to be done to get from there to what shall be.

Pure: nothing here talks to Kafka. The tests are in tests/unit.
"""

import re

# One ACL: who may (or may not) do what, from where, to which resource.
FIELDS = ("principal", "host", "permission", "operation", "resource", "name", "pattern")


def kafka_topics(text):
    """Topics by name, from kafka-topics.sh --describe: partitions, replication_factor and config."""
    found = {}
    line = re.compile(r"^Topic: (\S+)\s.*PartitionCount: (\d+)\s+ReplicationFactor: (\d+)\s+Configs: ?(.*)$", re.M)
    for name, partitions, copies, configs in line.findall(text):
        # A value may hold commas; a new setting begins where a name and a "=" follow.
        pairs = [pair.split("=", 1) for pair in re.split(r",(?=[a-z][a-z.]*=)", configs.strip()) if pair]
        found[name] = {"partitions": int(partitions), "replication_factor": int(copies), "config": dict(pairs)}
    return found


def kafka_topic_changes(wanted, found):
    """What is to be done for each wanted topic: create, grow (partitions) or config; or wrong, what cannot be done."""
    changes = []
    for topic in wanted:
        name, have = topic["name"], found.get(topic["name"])
        config = {key: _text(value) for key, value in topic.get("config", {}).items()}
        if have is None:
            changes.append({"do": "create", "name": name, "config": config, **_sizes(topic)})
            continue
        for size, number in _sizes(topic).items():
            if size == "partitions" and number > have[size]:
                changes.append({"do": "grow", "name": name, "partitions": number})
            elif number != have[size]:
                changes.append({"do": "wrong", "name": name, "why": f"{size} is {have[size]}, not {number}"})
        different = {key: value for key, value in config.items() if have["config"].get(key) != value}
        if different:
            changes.append({"do": "config", "name": name, "config": different})
    return changes


def kafka_scram_users(text):
    """Names of the users that have a SCRAM login, from kafka-configs.sh --describe --entity-type users."""
    return sorted(set(re.findall(r"^SCRAM credential configs for user-principal '([^']+)'", text, re.M)))


def kafka_acl_changes(users, text):
    """What is to be done so that each user has exactly its ACLs: arguments of kafka-acls.sh, additions first.

    users: as kafka_users. text: what kafka-acls.sh --list prints. Principals that are no user of ours are left alone.
    """
    wanted = {acl for user in users for acl in _wanted(user)}
    ours = {f"User:{user['name']}" for user in users}
    found = {acl for acl in _listed(text) if acl[0] in ours}
    return _commands("add", wanted - found) + _commands("remove", found - wanted)


def _sizes(topic):
    return {key: int(topic[key]) for key in ("partitions", "replication_factor") if key in topic}


def _text(value):
    return str(value).lower() if isinstance(value, bool) else str(value)


def _plain(word):
    """IDEMPOTENT_WRITE, IdempotentWrite, idempotent-write: all the same."""
    return re.sub(r"[^a-z]", "", word.lower())


def _wanted(user):
    if user.get("state", "present") == "absent":
        return
    for acl in user.get("acls", []):
        for operation in acl["operations"]:
            yield (
                f"User:{user['name']}",
                "*",
                "allow",
                _plain(operation),
                _plain(acl["resource"]),
                acl["name"],
                acl.get("pattern", "literal"),
            )


def _listed(text):
    resource = None
    head = re.compile(r"ResourcePattern\(resourceType=(\w+), name=(.+), patternType=(\w+)\)")
    entry = re.compile(r"\(principal=(.+), host=(.+), operation=(\w+), permissionType=(\w+)\)")
    for line in text.splitlines():
        if match := head.search(line):
            resource = match.groups()
        elif (match := entry.search(line)) and resource:
            principal, host, operation, permission = match.groups()
            kind, name, pattern = resource
            yield (principal, host, permission.lower(), _plain(operation), _plain(kind), name, pattern.lower())


def _commands(action, acls):
    """One command for all operations of one principal on one resource."""
    together = {}
    for acl in acls:
        fields = dict(zip(FIELDS, acl))
        operation = fields.pop("operation")
        together.setdefault(tuple(fields.items()), []).append(operation)
    commands = []
    for key, operations in sorted(together.items()):
        acl = dict(key)
        operations.sort()
        arguments = [f"--{action}"] + (["--force"] if action == "remove" else [])
        arguments += [f"--{acl['permission']}-principal", acl["principal"], f"--{acl['permission']}-host", acl["host"]]
        arguments += [word for operation in operations for word in ("--operation", OPERATIONS[operation])]
        arguments += RESOURCES[acl["resource"]](acl["name"]) + ["--resource-pattern-type", acl["pattern"]]
        label = f"{action} {acl['principal']} {','.join(operations)} on {acl['resource']} {acl['name']}"
        commands.append({"arguments": arguments, "label": label})
    return commands


RESOURCES = {
    "topic": lambda name: ["--topic", name],
    "group": lambda name: ["--group", name],
    "cluster": lambda name: ["--cluster", name],
    "transactionalid": lambda name: ["--transactional-id", name],
}

OPERATIONS = {
    _plain(name): name
    for name in (
        *("All", "Alter", "AlterConfigs", "ClusterAction", "Create", "CreateTokens", "Delete", "Describe"),
        *("DescribeConfigs", "DescribeTokens", "IdempotentWrite", "Read", "TwoPhaseCommit", "Write"),
    )
}


class FilterModule:
    """For Ansible."""

    def filters(self):
        """The filters by name."""
        return {
            "kafka_acl_changes": kafka_acl_changes,
            "kafka_scram_users": kafka_scram_users,
            "kafka_topic_changes": kafka_topic_changes,
            "kafka_topics": kafka_topics,
        }
