# What each group of hosts may do with AWS, as little as it needs: be reached through Session Manager; with MSK,
# its part of Kafka; and, for the consumer, to create objects in the store. Policies are written out, so that
# tests can read them.

locals {
  host_groups = toset([for host in local.hosts : host.group])

  store_arn = "arn:${local.partition}:s3:::${local.bucket}"

  # Session Manager and nothing else. AmazonSSMManagedInstanceCore would also let a host read every parameter of
  # Parameter Store.
  session_manager = [{
    Sid    = "SessionManager"
    Effect = "Allow"
    Action = [
      "ssm:UpdateInstanceInformation",
      "ssmmessages:CreateControlChannel",
      "ssmmessages:CreateDataChannel",
      "ssmmessages:OpenControlChannel",
      "ssmmessages:OpenDataChannel",
    ]
    Resource = "*"
  }]

  # What the consumer creates and reads: its folders, and the probe of each start, which is also read.
  consumer_objects = [for folder in sort(concat(tolist(var.store_folders), ["_probe"])) : "${local.store_arn}/${local.store_root}${folder}/*"]

  # As docs/adr/0007 has it: whatever the consumer keeps is created once, and read; only probes are deleted.
  consumer_store = [
    {
      Sid       = "CreateOnly"
      Effect    = "Allow"
      Action    = "s3:PutObject"
      Resource  = local.consumer_objects
      Condition = { Null = { "s3:if-none-match" = "false" } }
    },
    {
      Sid      = "Read"
      Effect   = "Allow"
      Action   = "s3:GetObject"
      Resource = local.consumer_objects
    },
    {
      Sid      = "DeleteProbes"
      Effect   = "Allow"
      Action   = "s3:DeleteObject"
      Resource = "${local.store_arn}/${local.store_root}_probe/*"
    },
    {
      # Without a condition on the prefix: S3 answers 404 for what does not exist, which is how the end of the log
      # is found, only to those who may list the bucket; to others it says 403. The bucket holds nothing else.
      Sid      = "ListAndLearnWhatIsMissing"
      Effect   = "Allow"
      Action   = "s3:ListBucket"
      Resource = local.store_arn
    },
    {
      Sid       = "KeyThroughS3"
      Effect    = "Allow"
      Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
      Resource  = aws_kms_key.data.arn
      Condition = { StringEquals = { "kms:ViaService" = "s3.${var.region}.amazonaws.com" } }
    },
  ]

  msk_topic = "${replace(local.msk_arn, ":cluster/", ":topic/")}/"
  msk_group = "${replace(local.msk_arn, ":cluster/", ":group/")}/"

  msk_producer = [
    {
      Sid      = "Cluster"
      Effect   = "Allow"
      Action   = ["kafka-cluster:Connect", "kafka-cluster:WriteDataIdempotently"]
      Resource = local.msk_arn
    },
    {
      Sid      = "Topics"
      Effect   = "Allow"
      Action   = ["kafka-cluster:DescribeTopic", "kafka-cluster:WriteData"]
      Resource = [for topic in var.topics : "${local.msk_topic}${topic}"]
    },
  ]

  msk_notify = [
    {
      Sid      = "Notify"
      Effect   = "Allow"
      Action   = ["kafka-cluster:DescribeTopic", "kafka-cluster:WriteData"]
      Resource = "${local.msk_topic}${coalesce(var.notify_topic, "none")}"
    },
    {
      Sid      = "NotifyIdempotently"
      Effect   = "Allow"
      Action   = ["kafka-cluster:WriteDataIdempotently"]
      Resource = local.msk_arn
    },
  ]

  msk_consumer = [
    {
      Sid      = "Cluster"
      Effect   = "Allow"
      Action   = "kafka-cluster:Connect"
      Resource = local.msk_arn
    },
    {
      Sid      = "Topic"
      Effect   = "Allow"
      Action   = ["kafka-cluster:DescribeTopic", "kafka-cluster:ReadData"]
      Resource = "${local.msk_topic}${var.topics[0]}"
    },
    {
      Sid      = "Group"
      Effect   = "Allow"
      Action   = ["kafka-cluster:AlterGroup", "kafka-cluster:DescribeGroup"]
      Resource = "${local.msk_group}${var.consumer_group}"
    },
  ]
}

resource "aws_iam_role" "host" {
  for_each = local.host_groups

  name        = "${var.name}-${each.key}"
  description = "Hosts of the group ${each.key}"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ec2.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy" "session_manager" {
  #checkov:skip=CKV_AWS_290:The actions of Session Manager know no resources: a host opens a channel for itself.
  #checkov:skip=CKV_AWS_355:The same.
  for_each = local.host_groups

  name   = "session-manager"
  role   = aws_iam_role.host[each.key].name
  policy = jsonencode({ Version = "2012-10-17", Statement = local.session_manager })
}

resource "aws_iam_role_policy" "store" {
  name   = "store"
  role   = aws_iam_role.host["spillway_consumer"].name
  policy = jsonencode({ Version = "2012-10-17", Statement = local.consumer_store })
}

resource "aws_iam_role_policy" "msk_producer" {
  count = local.own_brokers ? 0 : 1

  name   = "msk"
  role   = aws_iam_role.host["spillwayd"].name
  policy = jsonencode({ Version = "2012-10-17", Statement = local.msk_producer })
}

resource "aws_iam_role_policy" "msk_consumer" {
  count = local.own_brokers ? 0 : 1

  name   = "msk"
  role   = aws_iam_role.host["spillway_consumer"].name
  policy = jsonencode({ Version = "2012-10-17", Statement = local.msk_consumer })
}

resource "aws_iam_role_policy" "msk_notify" {
  count = local.own_brokers || var.notify_topic == null ? 0 : 1

  name   = "msk-notify"
  role   = aws_iam_role.host["spillway_consumer"].name
  policy = jsonencode({ Version = "2012-10-17", Statement = local.msk_notify })
}

resource "aws_iam_instance_profile" "host" {
  for_each = local.host_groups

  name = "${var.name}-${each.key}"
  role = aws_iam_role.host[each.key].name
}
