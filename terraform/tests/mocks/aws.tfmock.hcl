# What the mocked provider answers: one account, one region, and identifiers of the right form.

mock_data "aws_caller_identity" {
  defaults = {
    account_id = "111122223333"
  }
}

mock_data "aws_partition" {
  defaults = {
    partition  = "aws"
    dns_suffix = "amazonaws.com"
  }
}

mock_data "aws_availability_zones" {
  defaults = {
    names = ["eu-central-1c", "eu-central-1a", "eu-central-1b", "eu-central-1d"]
  }
}

mock_data "aws_ec2_instance_type" {
  defaults = {
    supported_architectures = ["x86_64"]
  }
}

mock_data "aws_ami" {
  defaults = {
    id = "ami-0aaaaaaaaaaaaaaaa"
  }
}

mock_resource "aws_kms_key" {
  defaults = {
    arn    = "arn:aws:kms:eu-central-1:111122223333:key/00000000-0000-0000-0000-000000000000"
    key_id = "00000000-0000-0000-0000-000000000000"
  }
}

mock_resource "aws_instance" {
  defaults = {
    id = "i-0bbbbbbbbbbbbbbbb"
  }
}

mock_resource "aws_ebs_volume" {
  defaults = {
    id = "vol-0cccccccccccccccc"
  }
}

mock_resource "aws_nat_gateway" {
  defaults = {
    id = "nat-0dddddddddddddddd"
  }
}

mock_resource "aws_msk_cluster" {
  defaults = {
    arn                        = "arn:aws:kafka:eu-central-1:111122223333:cluster/spillway/11111111-2222-3333-4444-555555555555-6"
    bootstrap_brokers_sasl_iam = "b-1.spillway.kafka.eu-central-1.amazonaws.com:9098,b-2.spillway.kafka.eu-central-1.amazonaws.com:9098"
  }
}

mock_resource "aws_msk_configuration" {
  defaults = {
    arn             = "arn:aws:kafka:eu-central-1:111122223333:configuration/spillway/1"
    latest_revision = 1
  }
}

mock_resource "aws_sqs_queue" {
  defaults = {
    arn = "arn:aws:sqs:eu-central-1:111122223333:a-queue"
  }
}

mock_resource "aws_sns_topic" {
  defaults = {
    arn = "arn:aws:sns:eu-central-1:111122223333:a-topic"
  }
}

mock_resource "aws_security_group" {
  defaults = {
    id = "sg-0eeeeeeeeeeeeeeee"
  }
}
