# What is refused, before anything is made. Each run breaks one rule of each variable that is named; between them every
# rule is broken once.

mock_provider "aws" {
  override_during = plan
  source          = "./tests/mocks"
}

variables {
  region         = "eu-central-1"
  ssh_public_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA test"
}

run "names_and_forms" {
  command = plan

  variables {
    name                  = "Spillway"
    region                = "Frankfurt"
    tags                  = { Project = "other" }
    vpc_cidr              = "8.8.0.0/16"
    nat_gateways          = 2
    flow_log_traffic      = "all"
    log_retention_days    = 7
    ssh_public_key        = "-----BEGIN OPENSSH PRIVATE KEY-----"
    edge_egress_ports     = [80]
    alarm_emails          = ["nobody"]
    debian_release        = "11"
    kafka                 = "kinesis"
    broker                = { instance_type = "large" }
    edge                  = { instance_type = "t3" }
    consumer              = { count = 0 }
    monitoring            = { instance_type = "small.t3" }
    ports                 = { kafka_client = 92 }
    topics                = []
    consumer_group        = "*"
    msk                   = { kafka_version = "3.6.0" }
    bucket_name           = "My.Bucket"
    store_prefix          = "/a"
    store_folders         = ["tables"]
    tables_expire_days    = 1
    noncurrent_days       = 0
    tables                = { "No Table" = {} }
    tables_from           = "yesterday"
    athena_scan_limit_gib = 0
    athena_results_days   = 0.5
    silent_minutes        = 1
    loader_lag_minutes    = 1
    access_log_bucket     = "s3://logs"
    notify_topic          = "*"
  }

  expect_failures = [
    var.name, var.region, var.tags, var.vpc_cidr, var.nat_gateways, var.flow_log_traffic,
    var.log_retention_days, var.ssh_public_key, var.edge_egress_ports, var.alarm_emails, var.debian_release, var.kafka, var.broker,
    var.edge, var.consumer, var.monitoring, var.ports, var.topics, var.consumer_group, var.msk, var.bucket_name, var.store_prefix,
    var.store_folders, var.tables_expire_days, var.noncurrent_days, var.tables, var.tables_from, var.athena_scan_limit_gib,
    var.athena_results_days, var.silent_minutes, var.loader_lag_minutes, var.access_log_bucket, var.notify_topic,
  ]
}

run "second_rules" {
  command = plan

  variables {
    vpc_cidr           = "10.77.1.0/16"
    availability_zones = ["us-east-1a", "us-east-1b", "us-east-1c"]
    edge_egress_ports  = [443, 70000]
    broker             = { instance_type = "t3.large" }
    edge               = { spool_gib = 5 }
    consumer           = { instance_type = "medium" }
    monitoring         = { data_gib = 1 }
    ports              = { kafka_internal = 9093 }
    topics             = ["events", "events"]
    msk                = { instance_type = "kafka.t3.small" }
    tables             = { a-b = {}, a_b = {} }
    tables_from        = "2026-13-01"
    silent_minutes     = 33
    store_folders      = ["_log", "tables", "_probe"]
  }

  expect_failures = [
    var.vpc_cidr, var.availability_zones, var.edge_egress_ports, var.broker, var.edge, var.consumer, var.monitoring, var.ports, var.topics,
    var.msk, var.tables, var.tables_from, var.silent_minutes, var.store_folders,
  ]
}

run "third_rules" {
  command = plan

  variables {
    availability_zones = ["eu-central-1a", "eu-central-1a", "eu-central-1b"]
    vpc_cidr           = "10.77.0.0/24"
    broker             = { data_gib = 10 }
    ports              = { spillway_first = 9465 }
    topics             = ["events*"]
    msk                = { data_gib = 1 }
    tables             = { a = { group_by = "city" } }
  }

  expect_failures = [var.availability_zones, var.vpc_cidr, var.broker, var.ports, var.topics, var.msk, var.tables]
}

run "a_program_whose_metrics_nobody_could_ask_for" {
  command = plan

  variables {
    ports = { spillway_last = 9464 }
  }

  expect_failures = [var.ports]
}

run "more_iops_than_the_volume_can_have" {
  command = plan

  variables {
    broker = { data_gib = 20, data_iops = 12000 }
    tables = { a = { metrics = [] } }
  }

  expect_failures = [var.broker, var.tables]
}

run "more_throughput_than_the_iops_allow" {
  command = plan

  variables {
    broker = { data_iops = 3000, data_throughput_mibps = 1000 }
    tables = { a = { metrics = ["likes"] } }
  }

  expect_failures = [var.broker, var.tables]
}

run "a_column_that_athena_has_no_type_for" {
  command = plan

  variables {
    tables = { a = { extra = [{ name = "n", type = "number" }] } }
  }

  expect_failures = [var.tables]
}

run "an_archive_of_columns_that_there_are_not" {
  command = plan

  variables {
    archives = { a = { columns = ["likes"] } }
  }

  expect_failures = [var.archives]
}

run "an_archive_by_one_of_its_columns" {
  command = plan

  variables {
    archives = { a = { partition_column = "place" } }
  }

  expect_failures = [var.archives]
}

run "values_that_would_be_several" {
  command = plan

  variables {
    archives = { a = { values = ["a,b"] } }
  }

  expect_failures = [var.archives]
}

run "an_archive_named_as_a_part_of_a_table" {
  command = plan

  variables {
    archives = { activity-final = {} }
  }

  expect_failures = [var.archives]
}
