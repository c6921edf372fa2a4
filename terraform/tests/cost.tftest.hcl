# The two sizes whose price docs/cost.md gives: cost.py takes their plans from here. What it takes from ansible/ is looked
# at, too.

mock_provider "aws" {
  override_during = plan
  source          = "./tests/mocks"
}

variables {
  ssh_public_key     = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA test"
  availability_zones = ["us-east-1a", "us-east-1b", "us-east-1c"]
}

run "default" {
  command = plan

  assert {
    condition     = var.region == "us-east-1" && var.region == jsondecode(file("./prices.json")).region
    error_message = "the prices must be those of the default region"
  }

  assert {
    condition     = length(var.tables) == 2 && [for topic in yamldecode(file("../ansible/defaults.yml")).kafka_topics : topic.partitions][0] == 12 && [for table in yamldecode(file("../ansible/defaults.yml")).spillway_consumer_config.table : table.window] == ["5m", "5m"]
    error_message = "cost.py counts 12 partitions, and two tables with windows of 5 minutes"
  }
}

run "msk" {
  command = plan

  variables {
    kafka = "msk"
  }

  assert {
    condition     = length(aws_msk_cluster.main) == 1
    error_message = "this is the price of MSK"
  }
}
