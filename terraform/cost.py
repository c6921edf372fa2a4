#!/usr/bin/env python3
"""cost.py PLANS [DOCUMENT]: what the default sizes cost a month, from their plans and prices.json.

PLANS is what `terraform test -json -verbose -filter=tests/cost.tftest.hcl` printed. Prints the tables, and what other
settings change; with a DOCUMENT it says instead whether the document holds the tables as they are and says of these
settings what is computed here, and exits with 1 if it does not. What depends on the stream is computed for the stream of
STREAM.
"""
import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
PRICE = json.loads((HERE / "prices.json").read_text())
HOURS = PRICE["hours"]
MINUTES = HOURS * 60

# A stream as an example: records a second, bytes of one, how much smaller compression makes it on the way to Kafka.
STREAM = {"records": 100, "bytes": 2000, "compression": 3}
# As in ansible/defaults.yml (tests/cost.tftest.hcl looks) and by spillway-consumer's own close_interval.
PARTITIONS, TABLES, WINDOW_MINUTES, LOOKS_A_SECOND = 12, 2, 5, 1


def plans(path):
    """The resources that each run plans: by run, a list of (type, values)."""
    found = {}
    for line in pathlib.Path(path).read_text().splitlines():
        message = json.loads(line)
        if message.get("type") == "test_plan":
            changes = message["test_plan"]["resource_changes"]
            found[message["@testrun"]] = [(c["type"], c["change"]["after"]) for c in changes if c["mode"] == "managed"]
    return found


def instances(resources):
    """Instances by type, in the order of their price."""
    types = [values["instance_type"] for kind, values in resources if kind == "aws_instance"]
    for name in sorted(set(types), key=lambda name: -PRICE["instance_hour"][name]):
        count = types.count(name)
        yield f"EC2 {name}", f"{count} x {HOURS} h", PRICE["instance_hour"][name] * HOURS * count


def volumes(resources):
    """All gp3 volumes: the instances' root volumes and those for data."""
    roots = sum(values["root_block_device"][0]["volume_size"] for kind, values in resources if kind == "aws_instance")
    data = [values for kind, values in resources if kind == "aws_ebs_volume"]
    gib = roots + sum(volume["size"] for volume in data)
    more = sum((volume["iops"] - 3000) * PRICE["gp3_iops_month_over_3000"] for volume in data)
    more += sum((volume["throughput"] - 125) * PRICE["gp3_mibps_month_over_125"] for volume in data)
    yield "EBS gp3", f"{gib} GiB", gib * PRICE["gp3_gib_month"] + more


def msk(resources):
    for kind, values in resources:
        if kind == "aws_msk_cluster":
            group, count = values["broker_node_group_info"][0], values["number_of_broker_nodes"]
            name = group["instance_type"]
            gib = group["storage_info"][0]["ebs_storage_info"][0]["volume_size"] * count
            yield f"MSK {name}", f"{count} x {HOURS} h", PRICE["msk_broker_hour"][name] * HOURS * count
            yield "MSK storage", f"{gib} GiB", gib * PRICE["msk_gib_month"]


def fixed(resources):
    """What is paid for being there."""
    count = lambda wanted: sum(kind == wanted for kind, _ in resources)
    yield from instances(resources)
    yield from msk(resources)
    yield from volumes(resources)
    nats, addresses = count("aws_nat_gateway"), count("aws_eip")
    yield "NAT gateway", f"{nats} x {HOURS} h", nats * HOURS * PRICE["nat_hour"]
    yield "Public IPv4 address", f"{addresses} x {HOURS} h", addresses * HOURS * PRICE["public_ipv4_hour"]
    yield "KMS key", str(count("aws_kms_key")), count("aws_kms_key") * PRICE["kms_key_month"]
    alarms = count("aws_cloudwatch_metric_alarm")
    yield "CloudWatch alarms", str(alarms), alarms * PRICE["alarm_month"]


def stream_gb():
    """The example's stream in a month: as it comes, and as it goes to Kafka."""
    raw = STREAM["records"] * STREAM["bytes"] * HOURS * 3600 / 1e9
    return raw, raw / STREAM["compression"]


def of_stream(own_brokers):
    """What is paid by the stream, for the example's."""
    raw_gb, kafka_gb = stream_gb()
    # To a leader in another zone, two times of three; to two replicas (which MSK does not charge); to the consumer.
    crossings = 2 / 3 + (2 if own_brokers else 0) + 2 / 3
    windows = MINUTES / WINDOW_MINUTES
    puts = windows * (TABLES + PARTITIONS + 1)
    looks = looks_a_month()
    told = windows * TABLES / 1e6
    yield "NAT gateway, the stream in", f"{raw_gb:,.0f} GB", raw_gb * PRICE["nat_gb"]
    yield "Between zones", f"{kafka_gb:,.0f} GB x {crossings:.2f}", kafka_gb * crossings * PRICE["zone_gb"]
    yield "S3 objects created", f"{puts / 1000:,.0f} thousand", puts / 1000 * PRICE["s3_put_1000"]
    yield "S3 looks for the next entry", f"{looks / 1e6:,.1f} million", looks / 1000 * PRICE["s3_get_1000"]
    yield "S3 storage", "10 GiB", 10 * PRICE["s3_gib_month"]
    yield "SNS and SQS", f"{told * 1000:,.0f} thousand objects", told * (PRICE["sns_million"] + 3 * PRICE["sqs_million"])
    yield "Flow log", "1 GB", PRICE["log_gb"]


def looks_a_month():
    return PARTITIONS * LOOKS_A_SECOND * HOURS * 3600


def changes():
    """What other settings change: what stands in the document's line, and how its price begins."""
    raw_gb, kafka_gb = stream_gb()
    graviton = 3 * HOURS * (PRICE["instance_hour"]["m7i.large"] - PRICE["instance_hour"]["m7g.large"])
    address = HOURS * PRICE["public_ipv4_hour"]
    yield 'instance_type = "m7g.large"', f"{graviton:.0f} less"
    yield f"(an address for {address:.2f} more)", f"{raw_gb * PRICE['nat_gb'] - address:.0f} less in the example; {PRICE['nat_gb']} for each GB"
    yield 'close_interval = "10s"', f"{looks_a_month() * 9 / 10 / 1000 * PRICE['s3_get_1000']:.0f} less"
    yield "client.rack", f"{kafka_gb * 2 / 3 * PRICE['zone_gb']:.0f} less in the example"
    yield "nat_gateways = 3", f"{2 * (HOURS * PRICE['nat_hour'] + address):.0f} more"
    yield "session_manager_endpoints = true`: 2 endpoints in 3 zones", f"{2 * 3 * HOURS * PRICE['endpoint_hour']:.0f} more"
    yield 'flow_log_traffic = "ALL"', f"{PRICE['log_gb']:.2f} for each GB of log"


def table(title, rows):
    rows = list(rows)
    lines = [f"| {title} | how much | $ a month |", "|---|--:|--:|"]
    lines += [f"| {what} | {count} | {price:,.2f} |" for what, count, price in rows]
    total = sum(price for _, _, price in rows)
    return "\n".join([*lines, f"| **Sum** | | **{total:,.2f}** |"])


def in_words(rows):
    return f"Both together: about {sum(price for _, _, price in rows):.0f} $ a month."


def main():
    found = plans(sys.argv[1])
    tables = [
        table("Three brokers of our own: for being there", fixed(found["default"])),
        table("Three brokers of our own: for the stream", of_stream(True)),
        table("MSK: for being there", fixed(found["msk"])),
        table("MSK: for the stream", of_stream(False)),
    ]
    if len(sys.argv) == 2:
        print("\n\n".join([*tables, "\n".join(f"{what}: {price}" for what, price in changes())]))
        return
    document = pathlib.Path(sys.argv[2]).read_text()
    words = [in_words([*fixed(found["default"]), *of_stream(True)]), in_words([*fixed(found["msk"]), *of_stream(False)])]
    stale = [each.splitlines()[0] for each in [*tables, *words] if each not in document]
    rows = [line for line in document.splitlines() if line.startswith("| ")]
    stale += [f"{what}: {price}" for what, price in changes() if not any(what in row and f" | {price}" in row for row in rows)]
    if f"{PRICE['region']}" not in document or PRICE["date"] not in document:
        stale.append("the region or the date of the prices")
    for each in stale:
        print(f"{sys.argv[2]} is out of date: {each}", file=sys.stderr)
    sys.exit(1 if stale else 0)


if __name__ == "__main__":
    main()
