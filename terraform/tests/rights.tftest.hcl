# What hosts and people may do with AWS: the policies, statement by statement.

mock_provider "aws" {
  override_during = plan
  source          = "./tests/mocks"
}

variables {
  region         = "eu-central-1"
  ssh_public_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA test"
}

run "hosts" {
  command = plan

  assert {
    condition     = tolist(keys(aws_iam_instance_profile.host)) == tolist(["kafka", "monitoring", "spillway_consumer", "spillwayd"])
    error_message = "each group must have a profile of its own"
  }

  assert {
    condition = alltrue([for policy in aws_iam_role_policy.session_manager : jsondecode(policy.policy).Statement[*].Action == [[
      "ssm:UpdateInstanceInformation",
      "ssmmessages:CreateControlChannel",
      "ssmmessages:CreateDataChannel",
      "ssmmessages:OpenControlChannel",
      "ssmmessages:OpenDataChannel",
    ]]]) && length(aws_iam_role_policy.session_manager) == 4
    error_message = "every host may be reached through Session Manager, and nothing more"
  }

  assert {
    condition     = aws_iam_role_policy.store.role == "spillway-spillway_consumer" && length(aws_iam_role_policy.msk_producer) + length(aws_iam_role_policy.msk_consumer) == 0
    error_message = "only the consumer has more, and without MSK only the store"
  }

  assert {
    condition     = alltrue([for role in aws_iam_role.host : jsondecode(role.assume_role_policy).Statement[*].Principal == [{ Service = "ec2.amazonaws.com" }]])
    error_message = "only instances may take these roles"
  }
}

run "the_consumer_creates_and_reads" {
  command = plan

  assert {
    condition = { for statement in jsondecode(aws_iam_role_policy.store.policy).Statement : statement.Sid => [statement.Effect, join(" ", flatten([statement.Action])), join(" ", flatten([statement.Resource]))] } == {
      CreateOnly                = ["Allow", "s3:PutObject", "arn:aws:s3:::spillway-111122223333-eu-central-1/_log/* arn:aws:s3:::spillway-111122223333-eu-central-1/_notify/* arn:aws:s3:::spillway-111122223333-eu-central-1/_probe/* arn:aws:s3:::spillway-111122223333-eu-central-1/compact/* arn:aws:s3:::spillway-111122223333-eu-central-1/csv/* arn:aws:s3:::spillway-111122223333-eu-central-1/rebuilt/* arn:aws:s3:::spillway-111122223333-eu-central-1/tables/*"]
      Read                      = ["Allow", "s3:GetObject", "arn:aws:s3:::spillway-111122223333-eu-central-1/_log/* arn:aws:s3:::spillway-111122223333-eu-central-1/_notify/* arn:aws:s3:::spillway-111122223333-eu-central-1/_probe/* arn:aws:s3:::spillway-111122223333-eu-central-1/compact/* arn:aws:s3:::spillway-111122223333-eu-central-1/csv/* arn:aws:s3:::spillway-111122223333-eu-central-1/rebuilt/* arn:aws:s3:::spillway-111122223333-eu-central-1/tables/*"]
      DeleteProbes              = ["Allow", "s3:DeleteObject", "arn:aws:s3:::spillway-111122223333-eu-central-1/_probe/*"]
      ListAndLearnWhatIsMissing = ["Allow", "s3:ListBucket", "arn:aws:s3:::spillway-111122223333-eu-central-1"]
      KeyThroughS3              = ["Allow", "kms:Decrypt kms:GenerateDataKey", aws_kms_key.data.arn]
    }
    error_message = "the consumer creates in its folders and its probes, reads both, deletes probes only, and lists"
  }

  assert {
    condition     = one([for statement in jsondecode(aws_iam_role_policy.store.policy).Statement : statement.Condition if statement.Sid == "CreateOnly"]) == { Null = { "s3:if-none-match" = "false" } }
    error_message = "the consumer may put an object only on condition that there is none"
  }

  assert {
    condition     = one([for statement in jsondecode(aws_iam_role_policy.store.policy).Statement : lookup(statement, "Condition", null) if statement.Sid == "ListAndLearnWhatIsMissing"]) == null
    error_message = "listing must not depend on a prefix, or S3 answers 403 where the log ends"
  }

  assert {
    condition     = one([for statement in jsondecode(aws_iam_role_policy.store.policy).Statement : statement.Condition if statement.Sid == "KeyThroughS3"]) == { StringEquals = { "kms:ViaService" = "s3.eu-central-1.amazonaws.com" } }
    error_message = "the key may be used through S3 only"
  }
}

run "below_a_prefix" {
  command = plan

  variables {
    bucket_name   = "lake"
    store_prefix  = "team/spillway"
    store_folders = ["_log", "tables", "more"]
  }

  assert {
    condition     = alltrue([for sid in ["CreateOnly", "Read"] : one([for statement in jsondecode(aws_iam_role_policy.store.policy).Statement : statement.Resource if statement.Sid == sid]) == ["arn:aws:s3:::lake/team/spillway/_log/*", "arn:aws:s3:::lake/team/spillway/_probe/*", "arn:aws:s3:::lake/team/spillway/more/*", "arn:aws:s3:::lake/team/spillway/tables/*"]])
    error_message = "rights must be below the prefix, and in every folder that is named"
  }

  assert {
    condition     = one([for statement in jsondecode(aws_iam_policy.reader.policy).Statement : statement.Condition.StringLike["s3:prefix"] if statement.Sid == "ListTables"]) == ["team/spillway/more/*", "team/spillway/tables/*"]
    error_message = "readers list the results below the prefix, and nothing of the consumer's own"
  }
}

run "msk" {
  command = plan

  variables {
    kafka  = "msk"
    topics = ["posts", "posts.dead"]
  }

  assert {
    condition     = [aws_iam_role_policy.msk_producer[0].role, aws_iam_role_policy.msk_consumer[0].role] == ["spillway-spillwayd", "spillway-spillway_consumer"]
    error_message = "each must have its own part of Kafka"
  }

  assert {
    condition     = length(aws_iam_role_policy.msk_notify) == 0
    error_message = "without [notify] the consumer writes to no topic"
  }

  assert {
    condition = { for statement in jsondecode(aws_iam_role_policy.msk_producer[0].policy).Statement : statement.Sid => [statement.Action, flatten([statement.Resource])] } == {
      Cluster = [["kafka-cluster:Connect", "kafka-cluster:WriteDataIdempotently"], ["arn:aws:kafka:eu-central-1:111122223333:cluster/spillway/11111111-2222-3333-4444-555555555555-6"]]
      Topics  = [["kafka-cluster:DescribeTopic", "kafka-cluster:WriteData"], ["arn:aws:kafka:eu-central-1:111122223333:topic/spillway/11111111-2222-3333-4444-555555555555-6/posts", "arn:aws:kafka:eu-central-1:111122223333:topic/spillway/11111111-2222-3333-4444-555555555555-6/posts.dead"]]
    }
    error_message = "spillwayd may write its topics and no others"
  }

  assert {
    condition = { for statement in jsondecode(aws_iam_role_policy.msk_consumer[0].policy).Statement : statement.Sid => [flatten([statement.Action]), statement.Resource] } == {
      Cluster = [["kafka-cluster:Connect"], "arn:aws:kafka:eu-central-1:111122223333:cluster/spillway/11111111-2222-3333-4444-555555555555-6"]
      Topic   = [["kafka-cluster:DescribeTopic", "kafka-cluster:ReadData"], "arn:aws:kafka:eu-central-1:111122223333:topic/spillway/11111111-2222-3333-4444-555555555555-6/posts"]
      Group   = [["kafka-cluster:AlterGroup", "kafka-cluster:DescribeGroup"], "arn:aws:kafka:eu-central-1:111122223333:group/spillway/11111111-2222-3333-4444-555555555555-6/spillway-consumer"]
    }
    error_message = "spillway-consumer may read the first topic with its own group, and write nothing"
  }

  assert {
    condition     = tolist(keys(aws_iam_role.host)) == tolist(["monitoring", "spillway_consumer", "spillwayd"])
    error_message = "without brokers of our own there is no role for them"
  }
}

run "msk_with_notifications" {
  command = plan

  variables {
    kafka        = "msk"
    notify_topic = "spillway-objects"
  }

  assert {
    condition = { for statement in jsondecode(aws_iam_role_policy.msk_notify[0].policy).Statement : statement.Sid => [statement.Action, statement.Resource] if aws_iam_role_policy.msk_notify[0].role == "spillway-spillway_consumer" } == {
      Notify             = [["kafka-cluster:DescribeTopic", "kafka-cluster:WriteData"], "arn:aws:kafka:eu-central-1:111122223333:topic/spillway/11111111-2222-3333-4444-555555555555-6/spillway-objects"]
      NotifyIdempotently = [["kafka-cluster:WriteDataIdempotently"], "arn:aws:kafka:eu-central-1:111122223333:cluster/spillway/11111111-2222-3333-4444-555555555555-6"]
    }
    error_message = "with [notify] the consumer writes to that topic only"
  }
}

run "people" {
  command = plan

  assert {
    condition = one([for statement in jsondecode(aws_iam_policy.operator.policy).Statement : statement.Condition if statement.Sid == "OnOurHosts"]) == {
      StringEquals = { "ssm:resourceTag/Project" = "spillway" }
      BoolIfExists = { "ssm:SessionDocumentAccessCheck" = "true" }
    }
    error_message = "operators may log in to hosts of this installation only, and only with a document they may use"
  }

  assert {
    condition     = one([for statement in jsondecode(aws_iam_policy.operator.policy).Statement : statement.Resource if statement.Sid == "WithTheseDocuments"]) == ["arn:aws:ssm:eu-central-1::document/AWS-StartSSHSession", "arn:aws:ssm:eu-central-1::document/AWS-StartPortForwardingSession"]
    error_message = "operators use SSH and port forwarding"
  }

  assert {
    condition     = one([for statement in jsondecode(aws_iam_policy.operator.policy).Statement : statement.Resource if statement.Sid == "OwnSessions"]) == "arn:aws:ssm:eu-central-1:111122223333:session/$${aws:userid}-*"
    error_message = "operators may end their own sessions only"
  }

  assert {
    condition     = !anytrue([for action in flatten(jsondecode(aws_iam_policy.reader.policy).Statement[*].Action) : strcontains(action, "Delete") && action != "sqs:DeleteMessage"]) && alltrue([for statement in jsondecode(aws_iam_policy.reader.policy).Statement : !contains(flatten([statement.Resource]), "*")])
    error_message = "readers delete nothing but the messages they have received, and every statement names its resources"
  }

  assert {
    condition     = [for statement in jsondecode(aws_iam_policy.reader.policy).Statement : flatten([statement.Resource]) if contains(flatten([statement.Action]), "s3:PutObject")] == [["arn:aws:s3:::spillway-111122223333-eu-central-1-athena/*"]]
    error_message = "readers write results of queries and nothing else"
  }
}

run "the_key_serves_four_services" {
  command = plan

  assert {
    condition = { for statement in jsondecode(aws_kms_key.data.policy).Statement : statement.Sid => [try(statement.Principal.Service, statement.Principal.AWS), join(" ", flatten([statement.Action]))] } == {
      Account    = ["arn:aws:iam::111122223333:root", "kms:*"]
      Logs       = ["logs.eu-central-1.amazonaws.com", "kms:Encrypt kms:Decrypt kms:ReEncrypt* kms:GenerateDataKey* kms:DescribeKey"]
      Cloudwatch = ["cloudwatch.amazonaws.com", "kms:Decrypt kms:GenerateDataKey*"]
      S3         = ["s3.amazonaws.com", "kms:Decrypt kms:GenerateDataKey*"]
      Sns        = ["sns.amazonaws.com", "kms:Decrypt kms:GenerateDataKey*"]
    }
    error_message = "the key's policy must let those in whose messages are encrypted with it, and nobody else"
  }

  assert {
    condition     = alltrue([for statement in jsondecode(aws_kms_key.data.policy).Statement : length(lookup(statement, "Condition", {})) > 0 || statement.Sid == "Account"]) && aws_kms_key.data.enable_key_rotation
    error_message = "services may use the key for this account only; it is rotated"
  }
}
