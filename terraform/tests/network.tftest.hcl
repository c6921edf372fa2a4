# The network: zones, ways out, what is recorded.

mock_provider "aws" {
  override_during = plan
  source          = "./tests/mocks"
}

variables {
  region         = "eu-central-1"
  ssh_public_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA test"
}

run "default" {
  command = plan

  assert {
    condition     = aws_subnet.private[*].availability_zone == ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
    error_message = "private subnets must be in three different zones, the first three by name"
  }

  assert {
    condition     = aws_subnet.private[*].cidr_block == ["10.77.0.0/20", "10.77.16.0/20", "10.77.32.0/20"]
    error_message = "private subnets must be a sixteenth of the VPC each"
  }

  assert {
    condition     = aws_subnet.public[*].cidr_block == ["10.77.240.0/24", "10.77.241.0/24", "10.77.242.0/24"]
    error_message = "public subnets must be a 256th of the VPC each, apart from the private ones"
  }

  assert {
    condition     = alltrue([for subnet in aws_subnet.public : subnet.map_public_ip_on_launch == false])
    error_message = "nothing may get a public address by itself"
  }

  assert {
    condition     = length(aws_nat_gateway.main) == 1 && alltrue([for route in aws_route.private_out : route.nat_gateway_id == aws_nat_gateway.main[0].id && route.destination_cidr_block == "0.0.0.0/0"])
    error_message = "all private subnets must go out through the one NAT gateway"
  }

  assert {
    condition     = length(aws_default_security_group.closed.ingress) + length(aws_default_security_group.closed.egress) == 0
    error_message = "the default security group must let nothing through"
  }

  assert {
    condition     = aws_flow_log.vpc.traffic_type == "REJECT" && aws_cloudwatch_log_group.flow.retention_in_days == 365 && aws_cloudwatch_log_group.flow.kms_key_id == aws_kms_key.data.arn
    error_message = "refused connections must be recorded, encrypted, for a year"
  }

  assert {
    condition     = length(aws_vpc_endpoint.session_manager) == 0 && length(aws_security_group.endpoints) == 0
    error_message = "interface endpoints cost more than the NAT gateway and must be asked for"
  }
}

run "writes_stay_in_the_account" {
  command = plan

  assert {
    condition = { for statement in jsondecode(aws_vpc_endpoint.s3.policy).Statement : statement.Sid => [statement.Action, try(statement.Condition.StringEquals["aws:ResourceAccount"], "any")] } == {
      OwnBuckets     = ["s3:*", "111122223333"]
      PublicPackages = ["s3:GetObject", "any"]
    }
    error_message = "through the endpoint of S3 only buckets of this account may be written"
  }

  assert {
    condition     = aws_vpc_endpoint.s3.service_name == "com.amazonaws.eu-central-1.s3" && aws_vpc_endpoint.s3.vpc_endpoint_type == "Gateway"
    error_message = "S3 must be reached through its free gateway endpoint"
  }
}

run "a_way_out_for_each_zone" {
  command = plan

  variables {
    nat_gateways              = 3
    session_manager_endpoints = true
    flow_log_traffic          = "ALL"
    log_retention_days        = 30
    availability_zones        = ["eu-central-1d", "eu-central-1b", "eu-central-1a"]
    vpc_cidr                  = "192.168.0.0/20"
  }

  override_resource {
    target          = aws_nat_gateway.main[0]
    values          = { id = "nat-0" }
    override_during = plan
  }

  override_resource {
    target          = aws_nat_gateway.main[1]
    values          = { id = "nat-1" }
    override_during = plan
  }

  override_resource {
    target          = aws_nat_gateway.main[2]
    values          = { id = "nat-2" }
    override_during = plan
  }

  assert {
    condition     = aws_route.private_out[*].nat_gateway_id == ["nat-0", "nat-1", "nat-2"]
    error_message = "each private subnet must go out through the gateway of its own zone"
  }

  assert {
    condition     = aws_subnet.private[*].availability_zone == ["eu-central-1d", "eu-central-1b", "eu-central-1a"]
    error_message = "zones that are given must be taken as given"
  }

  assert {
    condition     = length(aws_nat_gateway.main) == 3 && length(aws_eip.nat) == 3 && length(distinct(aws_subnet.public[*].cidr_block)) == 3
    error_message = "each zone must have a NAT gateway with an address"
  }

  assert {
    condition     = aws_subnet.private[2].cidr_block == "192.168.2.0/24" && aws_subnet.public[2].cidr_block == "192.168.15.32/28"
    error_message = "the smallest VPC must still be cut into subnets that AWS takes"
  }

  assert {
    condition     = sort([for endpoint in aws_vpc_endpoint.session_manager : endpoint.service_name]) == tolist(["com.amazonaws.eu-central-1.ssm", "com.amazonaws.eu-central-1.ssmmessages"])
    error_message = "Session Manager needs the endpoints ssm and ssmmessages"
  }

  assert {
    condition     = alltrue([for rule in aws_vpc_security_group_ingress_rule.endpoints : rule.from_port == 443 && rule.to_port == 443]) && length(aws_vpc_security_group_ingress_rule.endpoints) == 3
    error_message = "the endpoints must take 443 from the private subnets only"
  }

  assert {
    condition     = aws_flow_log.vpc.traffic_type == "ALL" && aws_cloudwatch_log_group.flow.retention_in_days == 30
    error_message = "the flow log must follow its settings"
  }
}
