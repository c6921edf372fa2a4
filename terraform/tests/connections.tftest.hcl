# Who may talk to whom: the rules of security groups, all of them.

mock_provider "aws" {
  override_during = plan
  source          = "./tests/mocks"
}

variables {
  region         = "eu-central-1"
  ssh_public_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA test"
}

run "own_brokers" {
  command = plan

  override_resource {
    target          = aws_security_group.host["kafka"]
    values          = { id = "kafka" }
    override_during = plan
  }

  override_resource {
    target          = aws_security_group.host["spillwayd"]
    values          = { id = "spillwayd" }
    override_during = plan
  }

  override_resource {
    target          = aws_security_group.host["spillway_consumer"]
    values          = { id = "spillway_consumer" }
    override_during = plan
  }

  override_resource {
    target          = aws_security_group.host["monitoring"]
    values          = { id = "monitoring" }
    override_during = plan
  }

  assert {
    condition = { for name, rule in aws_vpc_security_group_ingress_rule.flow : name => "${rule.referenced_security_group_id} > ${rule.security_group_id} ${rule.ip_protocol} ${rule.from_port}-${rule.to_port}" } == {
      consumer_to_kafka            = "spillway_consumer > kafka tcp 9092-9092"
      kafka_internal               = "kafka > kafka tcp 9094-9094"
      kafka_clients                = "kafka > kafka tcp 9092-9092"
      kafka_controllers            = "kafka > kafka tcp 9093-9093"
      monitoring_to_consumer       = "monitoring > spillway_consumer tcp 9464-9479"
      monitoring_to_consumer_host  = "monitoring > spillway_consumer tcp 9100-9100"
      monitoring_to_kafka          = "monitoring > kafka tcp 9404-9404"
      monitoring_to_kafka_host     = "monitoring > kafka tcp 9100-9100"
      monitoring_to_spillwayd      = "monitoring > spillwayd tcp 9464-9479"
      monitoring_to_spillwayd_host = "monitoring > spillwayd tcp 9100-9100"
      spillwayd_to_kafka           = "spillwayd > kafka tcp 9092-9092"
    }
    error_message = "these connections, and no others, may come in"
  }

  assert {
    condition     = alltrue([for rule in aws_vpc_security_group_ingress_rule.flow : rule.cidr_ipv4 == null && rule.cidr_ipv6 == null && rule.prefix_list_id == null && rule.referenced_security_group_id != null])
    error_message = "only security groups may come in, never addresses"
  }

  assert {
    condition     = alltrue([for name, rule in aws_vpc_security_group_egress_rule.flow : [rule.security_group_id, rule.referenced_security_group_id, rule.from_port, rule.to_port, rule.ip_protocol] == [aws_vpc_security_group_ingress_rule.flow[name].referenced_security_group_id, aws_vpc_security_group_ingress_rule.flow[name].security_group_id, aws_vpc_security_group_ingress_rule.flow[name].from_port, aws_vpc_security_group_ingress_rule.flow[name].to_port, "tcp"]]) && keys(aws_vpc_security_group_egress_rule.flow) == keys(aws_vpc_security_group_ingress_rule.flow)
    error_message = "what may come in at one end must be allowed out at the other"
  }

  assert {
    condition     = sort([for rule in aws_vpc_security_group_egress_rule.web : "${rule.security_group_id} ${rule.cidr_ipv4} ${rule.ip_protocol} ${rule.from_port}-${rule.to_port}"]) == sort(flatten([for group in ["kafka", "spillwayd", "spillway_consumer", "monitoring"] : ["${group} 0.0.0.0/0 tcp 443-443", "${group} 0.0.0.0/0 tcp 80-80"]]))
    error_message = "to anywhere only HTTP and HTTPS may go out, from each of the four groups"
  }
}

run "ports_and_upstreams_of_ones_own" {
  command = plan

  variables {
    edge_egress_ports = [443, 8443]
    ports             = { kafka_client = 19092, spillway_first = 9460, spillway_last = 9500 }
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.flow["spillwayd_to_kafka"].from_port == 19092 && alltrue([for name in ["monitoring_to_spillwayd", "monitoring_to_consumer"] : [aws_vpc_security_group_ingress_rule.flow[name].from_port, aws_vpc_security_group_ingress_rule.flow[name].to_port] == [9460, 9500]])
    error_message = "ports must follow their settings"
  }

  assert {
    condition     = sort([for name, rule in aws_vpc_security_group_egress_rule.web : tostring(rule.from_port) if startswith(name, "spillwayd_")]) == tolist(["443", "8443"])
    error_message = "the edge must reach its upstreams, and no others"
  }
}

run "msk" {
  command = plan

  variables {
    kafka = "msk"
  }

  assert {
    condition = { for name, rule in aws_vpc_security_group_ingress_rule.flow : name => "${rule.from_port}-${rule.to_port}" if strcontains(name, "kafka") } == {
      consumer_to_kafka  = "9098-9098"
      spillwayd_to_kafka = "9098-9098"
    }
    error_message = "only the two programs reach MSK, on its port for IAM"
  }

  assert {
    condition     = length([for name in keys(aws_vpc_security_group_egress_rule.web) : name if startswith(name, "kafka_")]) == 0
    error_message = "MSK needs no way out"
  }
}
