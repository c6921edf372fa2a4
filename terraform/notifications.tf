# What is told of each final object: S3 publishes it to a topic, which hands it to a queue for a loader. Others can
# subscribe to the topic. A message that cannot be handled five times waits in a second queue.

locals {
  tables_topic     = "${var.name}-tables"
  tables_topic_arn = "arn:${local.partition}:sns:${var.region}:${local.account}:${local.tables_topic}"
  tables_queue_arn = "arn:${local.partition}:sqs:${var.region}:${local.account}:${local.tables_topic}"
  fortnight        = 14 * 24 * 60 * 60
}

resource "aws_sns_topic" "tables" {
  name              = local.tables_topic
  display_name      = "Final objects of ${var.name}"
  kms_master_key_id = aws_kms_key.data.arn

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "FromTheStore"
      Effect    = "Allow"
      Principal = { Service = "s3.amazonaws.com" }
      Action    = "sns:Publish"
      Resource  = local.tables_topic_arn
      Condition = {
        ArnLike      = { "aws:SourceArn" = local.store_arn }
        StringEquals = { "aws:SourceAccount" = local.account }
      }
    }]
  })
}

resource "aws_s3_bucket_notification" "tables" {
  bucket = module.store.id

  topic {
    id            = "final-objects"
    topic_arn     = aws_sns_topic.tables.arn
    events        = ["s3:ObjectCreated:*"]
    filter_prefix = "${local.store_root}tables/"
    filter_suffix = ".parquet"
  }
}

resource "aws_sqs_queue" "tables" {
  name                       = local.tables_topic
  kms_master_key_id          = aws_kms_key.data.arn
  message_retention_seconds  = local.fortnight
  visibility_timeout_seconds = 300
  receive_wait_time_seconds  = 20

  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.tables_dead.arn
    maxReceiveCount     = 5
  })
}

resource "aws_sqs_queue" "tables_dead" {
  name                      = "${local.tables_topic}-dead"
  kms_master_key_id         = aws_kms_key.data.arn
  message_retention_seconds = local.fortnight

  redrive_allow_policy = jsonencode({
    redrivePermission = "byQueue"
    sourceQueueArns   = [local.tables_queue_arn]
  })
}

resource "aws_sqs_queue_policy" "tables" {
  queue_url = aws_sqs_queue.tables.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "FromTheTopic"
      Effect    = "Allow"
      Principal = { Service = "sns.amazonaws.com" }
      Action    = "sqs:SendMessage"
      Resource  = local.tables_queue_arn
      Condition = { ArnEquals = { "aws:SourceArn" = local.tables_topic_arn } }
    }]
  })
}

resource "aws_sns_topic_subscription" "tables" {
  topic_arn            = aws_sns_topic.tables.arn
  protocol             = "sqs"
  endpoint             = aws_sqs_queue.tables.arn
  raw_message_delivery = true

  depends_on = [aws_sqs_queue_policy.tables]
}
