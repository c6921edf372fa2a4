# A bucket: private, encrypted, over TLS, with its rules.

mock_provider "aws" {
  override_during = plan
  source          = "./tests/mocks"
}

variables {
  name        = "lake"
  arn         = "arn:aws:s3:::lake"
  kms_key_arn = "arn:aws:kms:eu-central-1:111122223333:key/00000000-0000-0000-0000-000000000000"
  versioned   = true
  statements  = "[{\"Sid\":\"Mine\",\"Effect\":\"Deny\"}]"
  lifecycle_rules = {
    old  = { noncurrent_days = 30 }
    temp = { prefix = "tmp/", days = 1, noncurrent_days = 2 }
  }
}

run "private_and_encrypted" {
  command = plan

  module {
    source = "./modules/bucket"
  }

  assert {
    condition     = alltrue([aws_s3_bucket_public_access_block.this.block_public_acls, aws_s3_bucket_public_access_block.this.block_public_policy, aws_s3_bucket_public_access_block.this.ignore_public_acls, aws_s3_bucket_public_access_block.this.restrict_public_buckets])
    error_message = "public access must be blocked in all four ways"
  }

  assert {
    condition     = aws_s3_bucket_ownership_controls.this.rule[0].object_ownership == "BucketOwnerEnforced" && aws_s3_bucket.this.force_destroy == false
    error_message = "objects must belong to the bucket's owner, and not go with it"
  }

  assert {
    condition     = one(aws_s3_bucket_server_side_encryption_configuration.this.rule).bucket_key_enabled && one(one(aws_s3_bucket_server_side_encryption_configuration.this.rule).apply_server_side_encryption_by_default).sse_algorithm == "aws:kms" && one(one(aws_s3_bucket_server_side_encryption_configuration.this.rule).apply_server_side_encryption_by_default).kms_master_key_id == var.kms_key_arn
    error_message = "objects must be encrypted with our key, through the bucket's own"
  }

  assert {
    condition     = aws_s3_bucket_versioning.this.versioning_configuration[0].status == "Enabled"
    error_message = "versions must be kept"
  }

  assert {
    condition     = jsondecode(aws_s3_bucket_policy.this.policy).Statement[*].Sid == ["TlsOnly", "NoOldTls", "Mine"] && alltrue([for statement in jsondecode(aws_s3_bucket_policy.this.policy).Statement : statement.Effect == "Deny"])
    error_message = "the policy must only deny: plain HTTP, old TLS, and what the caller denies"
  }

  assert {
    condition     = jsondecode(aws_s3_bucket_policy.this.policy).Statement[0].Resource == ["arn:aws:s3:::lake", "arn:aws:s3:::lake/*"] && jsondecode(aws_s3_bucket_policy.this.policy).Statement[0].Condition.Bool["aws:SecureTransport"] == "false"
    error_message = "TLS must be asked of the bucket and of its objects"
  }

  assert {
    condition     = length(aws_s3_bucket_logging.this) == 0
    error_message = "there must be no access log unless there is a bucket for it"
  }
}

run "rules" {
  command = plan

  module {
    source = "./modules/bucket"
  }

  assert {
    condition = jsonencode({ for rule in aws_s3_bucket_lifecycle_configuration.this.rule : rule.id => [
      rule.status, rule.filter[0].prefix, try(rule.expiration[0].days, null), try(rule.expiration[0].expired_object_delete_marker, null),
      try(rule.noncurrent_version_expiration[0].noncurrent_days, null), try(rule.abort_incomplete_multipart_upload[0].days_after_initiation, null),
      ] }) == jsonencode({
      unfinished-uploads = ["Enabled", "", null, null, null, 1]
      old                = ["Enabled", "", null, true, 30, null]
      temp               = ["Enabled", "tmp/", 1, null, 2, null]
    })
    error_message = "S3 must delete what the rules say, and nothing else"
  }
}

run "with_an_access_log" {
  command = plan

  module {
    source = "./modules/bucket"
  }

  variables {
    access_log_bucket = "logs-of-the-account"
    versioned         = false
  }

  assert {
    condition     = aws_s3_bucket_logging.this[0].target_bucket == "logs-of-the-account" && aws_s3_bucket_logging.this[0].target_prefix == "lake/" && aws_s3_bucket_versioning.this.versioning_configuration[0].status == "Suspended"
    error_message = "the access log must go where it was asked to, under the bucket's name"
  }
}
