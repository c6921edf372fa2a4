# The store of spillway-consumer, and the bucket of Athena's results. Objects of the store are created once and
# never changed: the consumer's role can do no more, and the bucket's policy lets nobody do more.

locals {
  create_only = [{
    # For everybody, administrators too: an object that is there cannot be written over, nor be copied onto. Parts of
    # multipart uploads are let through; completing one needs the condition like any other creation.
    Sid       = "CreateOnly"
    Effect    = "Deny"
    Principal = "*"
    Action    = "s3:PutObject"
    Resource  = [for folder in sort(tolist(var.store_folders)) : "${local.store_arn}/${local.store_root}${folder}/*"]
    Condition = {
      Null = { "s3:if-none-match" = "true" }
      Bool = { "s3:ObjectCreationOperation" = "true" }
    }
  }]

  # Nothing of _log is deleted by age: a topic that is silent for long would lose its newest entry, and the
  # consumer would rightly refuse to go on.
  store_lifecycle = merge(
    {
      old-versions = { noncurrent_days = var.noncurrent_days }
      probes       = { prefix = "${local.store_root}_probe/", days = 1, noncurrent_days = 1 }
    },
    var.tables_expire_days == null ? {} : {
      tables = { prefix = "${local.store_root}tables/", days = var.tables_expire_days, noncurrent_days = var.noncurrent_days }
    },
  )
}

module "store" {
  source = "./modules/bucket"

  name              = local.bucket
  arn               = local.store_arn
  kms_key_arn       = aws_kms_key.data.arn
  versioned         = true
  statements        = jsonencode(local.create_only)
  lifecycle_rules   = local.store_lifecycle
  access_log_bucket = var.access_log_bucket
}

module "results" {
  source = "./modules/bucket"

  name              = local.results_bucket
  arn               = "${local.store_arn}-athena"
  kms_key_arn       = aws_kms_key.data.arn
  versioned         = true
  access_log_bucket = var.access_log_bucket
  lifecycle_rules   = { results = { days = var.athena_results_days, noncurrent_days = 1 } }
}
