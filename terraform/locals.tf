# What several files need: who and where we are, the zones and their addresses, names.

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_availability_zones" "usable" {
  #checkov:skip=CKV_AWS_394:Only the first three by name are taken; a new zone comes after them. availability_zones pins them.
  state = "available"

  filter {
    name   = "opt-in-status"
    values = ["opt-in-not-required"]
  }
}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  suffix    = data.aws_partition.current.dns_suffix

  # Three, whatever the region has: a quorum of three, each in a zone of its own.
  zones = coalesce(var.availability_zones, slice(sort(data.aws_availability_zones.usable.names), 0, 3))

  private_cidrs = [for i in range(3) : cidrsubnet(var.vpc_cidr, 4, i)]
  public_cidrs  = [for i in range(3) : cidrsubnet(var.vpc_cidr, 8, 240 + i)]

  own_brokers = var.kafka == "brokers"

  bucket         = coalesce(var.bucket_name, "${var.name}-${local.account}-${var.region}")
  results_bucket = "${local.bucket}-athena"
  store_root     = var.store_prefix == "" ? "" : "${var.store_prefix}/"
  store_url      = var.store_prefix == "" ? "s3://${local.bucket}" : "s3://${local.bucket}/${var.store_prefix}"
}
