# What Ansible is given: groups, hosts, and how they are reached.

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
    condition     = tolist(keys(yamldecode(output.ansible_inventory).all.children)) == tolist(["kafka", "monitoring", "spillway_consumer", "spillwayd"])
    error_message = "the groups must be those that the roles of ansible/ are for"
  }

  assert {
    condition = { for name, host in yamldecode(output.ansible_inventory).all.children.kafka.hosts : name => [host.broker_id, host.private_ip, host.availability_zone, host.data_mount] } == {
      kafka-1 = [1, "10.77.0.10", "eu-central-1a", "/var/lib/kafka"]
      kafka-2 = [2, "10.77.16.10", "eu-central-1b", "/var/lib/kafka"]
      kafka-3 = [3, "10.77.32.10", "eu-central-1c", "/var/lib/kafka"]
    }
    error_message = "each broker must have its own id, address and zone, and its volume"
  }

  assert {
    condition     = yamldecode(output.ansible_inventory).all.children.spillwayd.hosts["edge-1"] == { ansible_ssh_common_args = "-o ProxyCommand=\"aws ssm start-session --region eu-central-1 --target %h --document-name AWS-StartSSHSession --parameters portNumber=%p\" -o StrictHostKeyChecking=accept-new", ansible_host = "i-0bbbbbbbbbbbbbbbb", instance_id = "i-0bbbbbbbbbbbbbbbb", private_ip = "10.77.0.20", availability_zone = "eu-central-1a", architecture = "amd64", data_mount = "/var/lib/spillway" }
    error_message = "a host must be reached by its instance, and know its address"
  }

  assert {
    condition = jsonencode(yamldecode(output.ansible_inventory).all.vars) == jsonencode({
      ansible_user            = "admin"
      aws_region              = "eu-central-1"
      kafka_client_port       = 9092
      kafka_controller_port   = 9093
      kafka_internal_port     = 9094
      kafka_jmx_exporter_port = 9404
      monitoring_node_port    = 9100
      spillway_store_region   = "eu-central-1"
      spillway_store_url      = "s3://spillway-111122223333-eu-central-1"
    })
    error_message = "what security groups let through, and where the store is, must be what the roles are told"
  }
}

run "msk" {
  command = plan

  variables {
    kafka    = "msk"
    consumer = { count = 2 }
  }

  assert {
    condition     = length(yamldecode(output.ansible_inventory).all.children.kafka.hosts) == 0
    error_message = "with MSK the group kafka must be empty"
  }

  assert {
    condition     = alltrue([for group in yamldecode(output.ansible_inventory).all.children : alltrue([for host in group.hosts : strcontains(host.spillway_kafka_brokers, ":9098,")])])
    error_message = "with MSK every host must be told the brokers"
  }

  assert {
    condition     = join(" ", keys(yamldecode(output.ansible_inventory).all.children.spillway_consumer.hosts)) == "consumer-1 consumer-2"
    error_message = "every consumer must be in the inventory"
  }
}
