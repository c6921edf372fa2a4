# Who may talk to whom: one table of connections, from which the rules of both ends are made. What is not in it
# cannot be connected. No rule lets anything in from outside the VPC; hosts are reached through Session Manager,
# which they call themselves.

locals {
  groups = toset(["kafka", "spillwayd", "spillway_consumer", "monitoring"])

  metrics = [var.ports.spillway_first, var.ports.spillway_last]

  own_kafka_flows = {
    spillwayd_to_kafka       = { from = "spillwayd", to = "kafka", ports = [var.ports.kafka_client, var.ports.kafka_client], what = "spillwayd produces" }
    consumer_to_kafka        = { from = "spillway_consumer", to = "kafka", ports = [var.ports.kafka_client, var.ports.kafka_client], what = "spillway-consumer reads" }
    kafka_clients            = { from = "kafka", to = "kafka", ports = [var.ports.kafka_client, var.ports.kafka_client], what = "administration from a broker" }
    kafka_controllers        = { from = "kafka", to = "kafka", ports = [var.ports.kafka_controller, var.ports.kafka_controller], what = "the controllers quorum" }
    kafka_internal           = { from = "kafka", to = "kafka", ports = [var.ports.kafka_internal, var.ports.kafka_internal], what = "replication" }
    monitoring_to_kafka      = { from = "monitoring", to = "kafka", ports = [var.ports.kafka_jmx, var.ports.kafka_jmx], what = "JMX exporter of brokers" }
    monitoring_to_kafka_host = { from = "monitoring", to = "kafka", ports = [var.ports.node_exporter, var.ports.node_exporter], what = "node exporter of brokers" }
  }

  # MSK's own port for logins by IAM. Its brokers are watched by CloudWatch, not by Prometheus.
  msk_flows = {
    spillwayd_to_kafka = { from = "spillwayd", to = "kafka", ports = [9098, 9098], what = "spillwayd produces" }
    consumer_to_kafka  = { from = "spillway_consumer", to = "kafka", ports = [9098, 9098], what = "spillway-consumer reads" }
  }

  host_flows = {
    monitoring_to_spillwayd      = { from = "monitoring", to = "spillwayd", ports = local.metrics, what = "metrics of spillwayd" }
    monitoring_to_spillwayd_host = { from = "monitoring", to = "spillwayd", ports = [var.ports.node_exporter, var.ports.node_exporter], what = "node exporter of the edge" }
    monitoring_to_consumer       = { from = "monitoring", to = "spillway_consumer", ports = local.metrics, what = "metrics of spillway-consumer" }
    monitoring_to_consumer_host  = { from = "monitoring", to = "spillway_consumer", ports = [var.ports.node_exporter, var.ports.node_exporter], what = "node exporter of consumers" }
  }

  flows = merge(local.host_flows, local.own_brokers ? local.own_kafka_flows : local.msk_flows)

  # To anywhere: Debian's packages and AWS, and, for the edge, its upstreams.
  web = merge(
    { for port in var.edge_egress_ports : "spillwayd_${port}" => { from = "spillwayd", port = port, what = "upstreams, packages, AWS" } },
    merge([for group in setsubtract(local.groups, ["spillwayd"]) : {
      for port in [80, 443] : "${group}_${port}" => { from = group, port = port, what = "packages, AWS" }
    } if group != "kafka" || local.own_brokers]...),
  )
}

resource "aws_security_group" "host" {
  #checkov:skip=CKV2_AWS_5:They are attached in hosts.tf and msk.tf, through a module, which the check does not follow.
  for_each = local.groups

  name        = "${var.name}-${each.key}"
  description = "Hosts of the group ${each.key}"
  vpc_id      = aws_vpc.main.id

  tags = { Name = "${var.name}-${each.key}" }
}

resource "aws_vpc_security_group_ingress_rule" "flow" {
  for_each = local.flows

  security_group_id            = aws_security_group.host[each.value.to].id
  referenced_security_group_id = aws_security_group.host[each.value.from].id
  description                  = each.value.what
  ip_protocol                  = "tcp"
  from_port                    = each.value.ports[0]
  to_port                      = each.value.ports[1]

  tags = { Name = each.key }
}

resource "aws_vpc_security_group_egress_rule" "flow" {
  for_each = local.flows

  security_group_id            = aws_security_group.host[each.value.from].id
  referenced_security_group_id = aws_security_group.host[each.value.to].id
  description                  = each.value.what
  ip_protocol                  = "tcp"
  from_port                    = each.value.ports[0]
  to_port                      = each.value.ports[1]

  tags = { Name = each.key }
}

resource "aws_vpc_security_group_egress_rule" "web" {
  for_each = local.web

  security_group_id = aws_security_group.host[each.value.from].id
  cidr_ipv4         = "0.0.0.0/0"
  description       = each.value.what
  ip_protocol       = "tcp"
  from_port         = each.value.port
  to_port           = each.value.port

  tags = { Name = each.key }
}

resource "aws_security_group" "endpoints" {
  count = var.session_manager_endpoints ? 1 : 0

  name        = "${var.name}-endpoints"
  description = "Interface endpoints of Session Manager"
  vpc_id      = aws_vpc.main.id

  tags = { Name = "${var.name}-endpoints" }
}

resource "aws_vpc_security_group_ingress_rule" "endpoints" {
  for_each = var.session_manager_endpoints ? toset(local.private_cidrs) : []

  security_group_id = aws_security_group.endpoints[0].id
  cidr_ipv4         = each.key
  description       = "hosts call Session Manager"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}
