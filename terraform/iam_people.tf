# Policies for people and programs outside the hosts, to be attached by whoever gives them out: operators, who
# log in through Session Manager, and readers of the tables.

locals {
  # What is a result, and not the consumer's own.
  read_prefixes = [for folder in sort(tolist(var.store_folders)) : "${local.store_root}${folder}/*" if !startswith(folder, "_")]
  read_objects  = [for prefix in local.read_prefixes : "${local.store_arn}/${prefix}"]

  session_documents = ["AWS-StartSSHSession", "AWS-StartPortForwardingSession"]
}

resource "aws_iam_policy" "operator" {
  name        = "${var.name}-operator"
  description = "Log in to the hosts of ${var.name}, and forward ports from them, through Session Manager"

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "OnOurHosts"
        Effect   = "Allow"
        Action   = "ssm:StartSession"
        Resource = "arn:${local.partition}:ec2:${var.region}:${local.account}:instance/*"
        # Without the second condition a session that names no document would be a shell as the agent's own user.
        Condition = {
          StringEquals = { "ssm:resourceTag/Project" = var.name }
          BoolIfExists = { "ssm:SessionDocumentAccessCheck" = "true" }
        }
      },
      {
        Sid      = "WithTheseDocuments"
        Effect   = "Allow"
        Action   = "ssm:StartSession"
        Resource = [for document in local.session_documents : "arn:${local.partition}:ssm:${var.region}::document/${document}"]
      },
      {
        Sid      = "OwnSessions"
        Effect   = "Allow"
        Action   = ["ssm:ResumeSession", "ssm:TerminateSession"]
        Resource = "arn:${local.partition}:ssm:${var.region}:${local.account}:session/$${aws:userid}-*"
      },
    ]
  })
}

resource "aws_iam_policy" "reader" {
  name        = "${var.name}-reader"
  description = "Query the tables of ${var.name} with Athena, read their objects, and receive what is told of new ones"

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "Tables"
        Effect   = "Allow"
        Action   = "s3:GetObject"
        Resource = local.read_objects
      },
      {
        Sid       = "ListTables"
        Effect    = "Allow"
        Action    = "s3:ListBucket"
        Resource  = local.store_arn
        Condition = { StringLike = { "s3:prefix" = local.read_prefixes } }
      },
      {
        Sid      = "Locations"
        Effect   = "Allow"
        Action   = "s3:GetBucketLocation"
        Resource = [local.store_arn, "${local.store_arn}-athena"]
      },
      {
        Sid      = "Results"
        Effect   = "Allow"
        Action   = ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
        Resource = "${local.store_arn}-athena/*"
      },
      {
        Sid      = "ListResults"
        Effect   = "Allow"
        Action   = "s3:ListBucket"
        Resource = "${local.store_arn}-athena"
      },
      {
        Sid       = "Key"
        Effect    = "Allow"
        Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource  = aws_kms_key.data.arn
        Condition = { StringEquals = { "kms:ViaService" = ["s3.${var.region}.amazonaws.com", "sqs.${var.region}.amazonaws.com"] } }
      },
      {
        Sid    = "Athena"
        Effect = "Allow"
        Action = [
          "athena:GetQueryExecution", "athena:GetQueryResults", "athena:GetWorkGroup", "athena:StartQueryExecution",
          "athena:StopQueryExecution",
        ]
        Resource = "arn:${local.partition}:athena:${var.region}:${local.account}:workgroup/${var.name}"
      },
      {
        Sid    = "Catalog"
        Effect = "Allow"
        Action = ["glue:GetDatabase", "glue:GetPartitions", "glue:GetTable", "glue:GetTables"]
        Resource = [
          "arn:${local.partition}:glue:${var.region}:${local.account}:catalog",
          "arn:${local.partition}:glue:${var.region}:${local.account}:database/${local.database}",
          "arn:${local.partition}:glue:${var.region}:${local.account}:table/${local.database}/*",
        ]
      },
      {
        Sid      = "Queue"
        Effect   = "Allow"
        Action   = ["sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"]
        Resource = local.tables_queue_arn
      },
    ]
  })
}
