# Kafka: three brokers of our own, or MSK.

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

  assert {
    condition     = keys(module.host) == ["consumer-1", "edge-1", "kafka-1", "kafka-2", "kafka-3", "monitoring-1"]
    error_message = "the default is three brokers, an edge, a consumer and the monitoring"
  }

  assert {
    condition     = output.kafka_brokers == "10.77.0.10:9092,10.77.16.10:9092,10.77.32.10:9092" && length(aws_msk_cluster.main) == 0
    error_message = "clients must be given all three brokers"
  }

  assert {
    condition     = { for name in ["edge-1", "consumer-1", "monitoring-1"] : name => module.host[name].private_ip } == { edge-1 = "10.77.0.20", consumer-1 = "10.77.0.30", monitoring-1 = "10.77.0.40" }
    error_message = "hosts must have fixed addresses"
  }

  assert {
    condition     = strcontains(module.host["edge-1"].user_data, " /var/lib/spillway ext4 ") && strcontains(module.host["kafka-3"].user_data, "https://s3.eu-central-1.amazonaws.com/amazon-ssm-eu-central-1/latest/debian_amd64/amazon-ssm-agent.deb")
    error_message = "the spool must be on a volume of its own; the agent must fit the architecture and come from the region"
  }

  assert {
    condition     = join(" ", data.aws_ami.debian["amd64"].owners) == "136693071363" && keys(data.aws_ami.debian) == ["amd64"] && contains(flatten(data.aws_ami.debian["amd64"].filter[*].values), "debian-12-amd64-*")
    error_message = "the image must be Debian's own, of the right architecture"
  }
}

run "graviton_and_more_consumers" {
  command = plan

  variables {
    broker   = { instance_type = "m7g.large", data_gib = 500, data_iops = 6000, data_throughput_mibps = 500 }
    consumer = { count = 4 }
    edge     = { public_ip = true }
  }

  override_data {
    target = data.aws_ec2_instance_type.used["m7g.large"]
    values = { supported_architectures = ["arm64"] }
  }

  assert {
    condition     = keys(data.aws_ami.debian) == ["amd64", "arm64"] && strcontains(module.host["kafka-1"].user_data, "debian_arm64") && strcontains(module.host["edge-1"].user_data, "debian_amd64")
    error_message = "each host must get the image and the agent of its architecture"
  }

  assert {
    condition     = [for i in range(1, 5) : module.host["consumer-${i}"].private_ip] == ["10.77.0.30", "10.77.16.31", "10.77.32.32", "10.77.0.33"]
    error_message = "consumers must be spread over the zones"
  }

  assert {
    condition     = module.host["edge-1"].private_ip == "10.77.240.10"
    error_message = "an edge with a public address must be in a public subnet"
  }
}

run "msk" {
  command = plan

  variables {
    kafka = "msk"
    msk   = { data_gib = 300 }
  }

  assert {
    condition     = keys(module.host) == ["consumer-1", "edge-1", "monitoring-1"]
    error_message = "with MSK there must be no brokers of our own"
  }

  assert {
    condition     = [aws_msk_cluster.main[0].number_of_broker_nodes, aws_msk_cluster.main[0].kafka_version, aws_msk_cluster.main[0].broker_node_group_info[0].instance_type, aws_msk_cluster.main[0].broker_node_group_info[0].storage_info[0].ebs_storage_info[0].volume_size] == [3, "4.1.x.kraft", "kafka.m7g.large", 300]
    error_message = "the cluster must be three brokers as asked for"
  }

  assert {
    condition     = aws_msk_cluster.main[0].client_authentication[0].unauthenticated == false && aws_msk_cluster.main[0].client_authentication[0].sasl[0].iam && !aws_msk_cluster.main[0].client_authentication[0].sasl[0].scram
    error_message = "only IAM may log in"
  }

  assert {
    condition     = aws_msk_cluster.main[0].encryption_info[0].encryption_in_transit[0].client_broker == "TLS" && aws_msk_cluster.main[0].encryption_info[0].encryption_in_transit[0].in_cluster && aws_msk_cluster.main[0].encryption_info[0].encryption_at_rest_kms_key_arn == aws_kms_key.data.arn
    error_message = "everything must be encrypted, on the wire and at rest"
  }

  assert {
    condition     = strcontains(aws_msk_configuration.main[0].server_properties, "min.insync.replicas=2\n") && strcontains(aws_msk_configuration.main[0].server_properties, "auto.create.topics.enable=false\n") && strcontains(aws_msk_configuration.main[0].server_properties, "default.replication.factor=3\n") && strcontains(aws_msk_configuration.main[0].server_properties, "unclean.leader.election.enable=false\n")
    error_message = "acknowledged must mean on two brokers of three"
  }

  assert {
    condition     = length(aws_msk_cluster.main[0].open_monitoring) == 0
    error_message = "exporters that nobody asks must be off"
  }

  assert {
    condition     = strcontains(output.kafka_brokers, ":9098,")
    error_message = "clients must be given the addresses for IAM"
  }
}

run "each_in_its_place" {
  command = plan

  variables {
    consumer = { count = 2 }
    edge     = { public_ip = true }
  }

  override_resource {
    target          = aws_subnet.private[0]
    values          = { id = "private-0" }
    override_during = plan
  }

  override_resource {
    target          = aws_subnet.private[1]
    values          = { id = "private-1" }
    override_during = plan
  }

  override_resource {
    target          = aws_subnet.private[2]
    values          = { id = "private-2" }
    override_during = plan
  }

  override_resource {
    target          = aws_subnet.public[0]
    values          = { id = "public-0" }
    override_during = plan
  }

  override_resource {
    target          = aws_security_group.host["kafka"]
    values          = { id = "sg-kafka" }
    override_during = plan
  }

  override_resource {
    target          = aws_security_group.host["spillwayd"]
    values          = { id = "sg-spillwayd" }
    override_during = plan
  }

  override_resource {
    target          = aws_security_group.host["spillway_consumer"]
    values          = { id = "sg-spillway_consumer" }
    override_during = plan
  }

  override_resource {
    target          = aws_security_group.host["monitoring"]
    values          = { id = "sg-monitoring" }
    override_during = plan
  }

  assert {
    condition = { for name, host in module.host : name => join(" ", [host.placement.zone, host.placement.subnet_id, host.placement.security_group_id, host.placement.instance_profile]) } == {
      kafka-1      = "eu-central-1a private-0 sg-kafka spillway-kafka"
      kafka-2      = "eu-central-1b private-1 sg-kafka spillway-kafka"
      kafka-3      = "eu-central-1c private-2 sg-kafka spillway-kafka"
      edge-1       = "eu-central-1a public-0 sg-spillwayd spillway-spillwayd"
      consumer-1   = "eu-central-1a private-0 sg-spillway_consumer spillway-spillway_consumer"
      consumer-2   = "eu-central-1b private-1 sg-spillway_consumer spillway-spillway_consumer"
      monitoring-1 = "eu-central-1a private-0 sg-monitoring spillway-monitoring"
    }
    error_message = "each host must be in its zone's subnet, with the security group and the profile of its group"
  }
}
