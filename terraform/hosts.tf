# The hosts: three brokers (unless MSK has them), the edge with spillwayd, the consumers, the monitoring. Their
# addresses are fixed, so that a host that is made anew is found where it was.

locals {
  brokers = { for i in range(local.own_brokers ? 3 : 0) : "kafka-${i + 1}" => {
    group         = "kafka"
    zone          = i
    ip            = cidrhost(local.private_cidrs[i], 10)
    public        = false
    instance_type = var.broker.instance_type
    root_gib      = var.broker.root_gib
    # log.dirs must be a folder in it: Kafka takes lost+found for a broken partition.
    data = { gib = var.broker.data_gib, iops = var.broker.data_iops, throughput_mibps = var.broker.data_throughput_mibps, mount = "/var/lib/kafka" }
    vars = { broker_id = i + 1 }
  } }

  edges = { "edge-1" = {
    group         = "spillwayd"
    zone          = 0
    ip            = var.edge.public_ip ? cidrhost(local.public_cidrs[0], 10) : cidrhost(local.private_cidrs[0], 20)
    public        = var.edge.public_ip
    instance_type = var.edge.instance_type
    root_gib      = var.edge.root_gib
    data          = { gib = var.edge.spool_gib, iops = 3000, throughput_mibps = 125, mount = "/var/lib/spillway" }
    vars          = {}
  } }

  consumers = { for i in range(var.consumer.count) : "consumer-${i + 1}" => {
    group         = "spillway_consumer"
    zone          = i % 3
    ip            = cidrhost(local.private_cidrs[i % 3], 30 + i)
    public        = false
    instance_type = var.consumer.instance_type
    root_gib      = var.consumer.root_gib
    # No volume: what a consumer has not written to the store, the next owner of its partitions reads again.
    data = null
    vars = {}
  } }

  monitors = { "monitoring-1" = {
    group         = "monitoring"
    zone          = 0
    ip            = cidrhost(local.private_cidrs[0], 40)
    public        = false
    instance_type = var.monitoring.instance_type
    root_gib      = var.monitoring.root_gib
    data          = { gib = var.monitoring.data_gib, iops = 3000, throughput_mibps = 125, mount = "/var/lib/prometheus" }
    vars          = {}
  } }

  hosts = merge(local.brokers, local.edges, local.consumers, local.monitors)

  architecture = { for type, facts in data.aws_ec2_instance_type.used : type =>
    contains(facts.supported_architectures, "arm64") ? "arm64" : "amd64"
  }
}

data "aws_ec2_instance_type" "used" {
  for_each = toset([for host in local.hosts : host.instance_type])

  instance_type = each.key
}

# Debian's own account.
data "aws_ami" "debian" {
  for_each = toset(values(local.architecture))

  owners      = ["136693071363"]
  most_recent = true

  filter {
    name   = "name"
    values = ["debian-${var.debian_release}-${each.key}-*"]
  }

  filter {
    name   = "virtualization-type"
    values = ["hvm"]
  }
}

resource "aws_key_pair" "ansible" {
  key_name   = var.name
  public_key = trimspace(var.ssh_public_key)
}

module "host" {
  source   = "./modules/host"
  for_each = local.hosts

  name                = "${var.name}-${each.key}"
  group               = each.value.group
  ami                 = data.aws_ami.debian[local.architecture[each.value.instance_type]].id
  instance_type       = each.value.instance_type
  architecture        = local.architecture[each.value.instance_type]
  subnet_id           = each.value.public ? aws_subnet.public[each.value.zone].id : aws_subnet.private[each.value.zone].id
  zone                = local.zones[each.value.zone]
  private_ip          = each.value.ip
  public_ip           = each.value.public
  security_group_id   = aws_security_group.host[each.value.group].id
  instance_profile    = aws_iam_instance_profile.host[each.value.group].name
  key_name            = aws_key_pair.ansible.key_name
  kms_key_arn         = aws_kms_key.data.arn
  root_gib            = each.value.root_gib
  data                = each.value.data
  agent_url           = "https://s3.${var.region}.${local.suffix}/amazon-ssm-${var.region}/latest/debian_${local.architecture[each.value.instance_type]}/amazon-ssm-agent.deb"
  deletion_protection = var.deletion_protection

  # At its first boot a host needs the way to its packages.
  depends_on = [aws_route.private_out, aws_route.public_out, aws_vpc_endpoint.s3, aws_vpc_security_group_egress_rule.web]
}
