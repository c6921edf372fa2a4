# Everything is made and destroyed, by a provider that makes nothing: no value may be missing at the end, and no two
# things may wait for each other.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  region         = "eu-central-1"
  ssh_public_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA test"
}

run "own_brokers" {
  command = apply

  assert {
    condition     = length(output.hosts) == 6 && alltrue([for host in output.hosts : startswith(host.instance_id, "i-")])
    error_message = "every host must be known by its instance"
  }

  assert {
    condition     = output.tables_queue_url != "" && output.reader_policy_arn != "" && length(yamldecode(output.ansible_inventory).all.children) == 4
    error_message = "all outputs must be known"
  }
}

# From brokers of our own to MSK, in one apply.
run "msk" {
  command = apply

  variables {
    kafka = "msk"
  }

  assert {
    condition     = length(output.hosts) == 3 && strcontains(output.kafka_brokers, ":9098")
    error_message = "the brokers must be MSK's"
  }
}
