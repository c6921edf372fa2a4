# The store: whose it is, what cannot be done to it, who is told of it, what Athena sees.

mock_provider "aws" {
  override_during = plan
  source          = "./tests/mocks"
}

variables {
  region         = "eu-central-1"
  ssh_public_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA test"
}

run "created_once" {
  command = plan

  assert {
    condition     = output.store_url == "s3://spillway-111122223333-eu-central-1"
    error_message = "the bucket must be named after the installation, the account and the region"
  }

  assert {
    condition = jsondecode(jsonencode(local.create_only)) == [{
      Sid       = "CreateOnly"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:PutObject"
      Resource  = ["arn:aws:s3:::spillway-111122223333-eu-central-1/_log/*", "arn:aws:s3:::spillway-111122223333-eu-central-1/_notify/*", "arn:aws:s3:::spillway-111122223333-eu-central-1/compact/*", "arn:aws:s3:::spillway-111122223333-eu-central-1/csv/*", "arn:aws:s3:::spillway-111122223333-eu-central-1/rebuilt/*", "arn:aws:s3:::spillway-111122223333-eu-central-1/tables/*"]
      Condition = { Null = { "s3:if-none-match" = "true" }, Bool = { "s3:ObjectCreationOperation" = "true" } }
    }]
    error_message = "nobody may put an object over one that is there"
  }

  assert {
    condition     = length([for rule in local.store_lifecycle : rule if startswith(lookup(rule, "prefix", ""), "_log") || (lookup(rule, "prefix", "") == "" && lookup(rule, "days", null) != null)]) == 0
    error_message = "the log must not be deleted by age"
  }

  assert {
    condition     = local.store_lifecycle.probes.prefix == "_probe/" && local.store_lifecycle.probes.days == 1 && keys(local.store_lifecycle) == ["old-versions", "probes"]
    error_message = "probes must go after a day; tables must stay"
  }
}

run "tables_that_expire" {
  command = plan

  variables {
    bucket_name        = "lake"
    store_prefix       = "a/b"
    tables_expire_days = 400
    noncurrent_days    = 7
  }

  assert {
    condition     = output.store_url == "s3://lake/a/b" && local.store_lifecycle.tables.prefix == "a/b/tables/" && local.store_lifecycle.tables.days == 400 && local.store_lifecycle.tables.noncurrent_days == 7 && local.store_lifecycle.probes.prefix == "a/b/_probe/"
    error_message = "rules must be below the prefix, and as set"
  }

  assert {
    condition     = aws_s3_bucket_notification.tables.topic[0].filter_prefix == "a/b/tables/" && aws_glue_catalog_table.main["activity_final"].storage_descriptor[0].location == "s3://lake/a/b/tables/activity/" && one(one(aws_athena_workgroup.main.configuration).result_configuration).output_location == "s3://lake-athena/"
    error_message = "what is told, and what Athena sees, must be below the prefix"
  }
}

run "told_of_final_objects" {
  command = plan

  assert {
    condition     = [for topic in aws_s3_bucket_notification.tables.topic : [join(" ", topic.events), topic.filter_prefix, topic.filter_suffix, topic.topic_arn]] == [["s3:ObjectCreated:*", "tables/", ".parquet", aws_sns_topic.tables.arn]]
    error_message = "final objects must be told of, and nothing else"
  }

  assert {
    condition = jsondecode(aws_sns_topic.tables.policy).Statement == [{
      Sid       = "FromTheStore"
      Effect    = "Allow"
      Principal = { Service = "s3.amazonaws.com" }
      Action    = "sns:Publish"
      Resource  = "arn:aws:sns:eu-central-1:111122223333:spillway-tables"
      Condition = { ArnLike = { "aws:SourceArn" = "arn:aws:s3:::spillway-111122223333-eu-central-1" }, StringEquals = { "aws:SourceAccount" = "111122223333" } }
    }]
    error_message = "only this bucket may publish to the topic"
  }

  assert {
    condition     = jsondecode(aws_sqs_queue_policy.tables.policy).Statement[0].Condition == { ArnEquals = { "aws:SourceArn" = "arn:aws:sns:eu-central-1:111122223333:spillway-tables" } } && length(jsondecode(aws_sqs_queue_policy.tables.policy).Statement) == 1
    error_message = "only the topic may send to the queue"
  }

  assert {
    condition     = jsondecode(aws_sqs_queue.tables.redrive_policy).maxReceiveCount == 5 && aws_sqs_queue.tables.message_retention_seconds == 1209600 && aws_sqs_queue.tables_dead.message_retention_seconds == 1209600 && jsondecode(aws_sqs_queue.tables_dead.redrive_allow_policy).sourceQueueArns == ["arn:aws:sqs:eu-central-1:111122223333:spillway-tables"]
    error_message = "messages must be kept for a fortnight, and set aside after five attempts"
  }

  assert {
    condition     = alltrue([for key in [aws_sns_topic.tables.kms_master_key_id, aws_sns_topic.alarms.kms_master_key_id, aws_sqs_queue.tables.kms_master_key_id, aws_sqs_queue.tables_dead.kms_master_key_id] : key == aws_kms_key.data.arn])
    error_message = "topics and queues must be encrypted with our key"
  }

  assert {
    condition     = aws_sns_topic_subscription.tables.protocol == "sqs" && aws_sns_topic_subscription.tables.raw_message_delivery
    error_message = "the queue must get S3's own message"
  }
}

run "athena" {
  command = plan

  assert {
    condition     = jsonencode({ for table in yamldecode(file("../ansible/defaults.yml")).spillway_consumer_config.table : table.name => [join(" ", lookup(table, "group_by", ["none"])), table.metrics] }) == jsonencode({ for name, table in var.tables : name => [table.group_by, table.metrics] })
    error_message = "the tables that Athena sees must be those that ansible/ has the consumer write"
  }

  assert {
    condition     = join(" ", [for column in aws_glue_catalog_table.main["city_activity_final"].storage_descriptor[0].columns : "${column.name}:${column.type}"]) == "window_start:timestamp window_end:timestamp place:string events:bigint reposts:bigint referencing:bigint unique_actors:bigint unique_actors_exact:boolean"
    error_message = "the columns must be those that spillway-consumer writes, in its order"
  }

  assert {
    condition = aws_glue_catalog_table.main["activity_final"].parameters == tomap({
      EXTERNAL                      = "TRUE"
      classification                = "parquet"
      "projection.enabled"          = "true"
      "projection.dt.type"          = "date"
      "projection.dt.format"        = "yyyy-MM-dd"
      "projection.dt.range"         = "2026-01-01,NOW+1DAYS"
      "projection.dt.interval"      = "1"
      "projection.dt.interval.unit" = "DAYS"
      "storage.location.template"   = "s3://spillway-111122223333-eu-central-1/tables/activity/dt=$${dt}/"
    })
    error_message = "days must be projected, from the first day on"
  }

  assert {
    condition     = [for key in aws_glue_catalog_table.main["activity_final"].partition_keys : [key.name, key.type]] == [["dt", "string"]]
    error_message = "tables must be partitioned by day"
  }

  assert {
    condition     = one(aws_athena_workgroup.main.configuration).enforce_workgroup_configuration && one(aws_athena_workgroup.main.configuration).bytes_scanned_cutoff_per_query == 107374182400 && one(one(one(aws_athena_workgroup.main.configuration).result_configuration).encryption_configuration).encryption_option == "SSE_KMS"
    error_message = "queries must be limited, and their results encrypted, whatever the client says"
  }
}

run "tables_of_ones_own" {
  command = plan

  variables {
    name        = "edge-eu"
    tables_from = "2025-06-01"
    tables = {
      happiest-hashtags = { group_by = "tag", metrics = ["smiles"], extra = [{ name = "rank", type = "bigint" }] }
      mood              = { metrics = ["sentiment", "extreme"] }
    }
  }

  assert {
    condition     = join(" ", [for column in aws_glue_catalog_table.main["happiest_hashtags_final"].storage_descriptor[0].columns : column.name]) == "window_start window_end tag smiles rank" && aws_glue_catalog_table.main["happiest_hashtags_final"].storage_descriptor[0].location == "s3://edge-eu-111122223333-eu-central-1/tables/happiest-hashtags/"
    error_message = "Athena's name has no hyphens, the folder has; extra columns come last"
  }

  assert {
    condition     = join(" ", [for column in aws_glue_catalog_table.main["mood_final"].storage_descriptor[0].columns : column.type]) == "timestamp timestamp bigint double double double double double double string string double string string"
    error_message = "each column of a metric must have its type"
  }

  assert {
    condition     = aws_glue_catalog_database.main.name == "edge_eu" && startswith(aws_glue_catalog_table.main["mood_final"].parameters["projection.dt.range"], "2025-06-01,")
    error_message = "the database and the first day must follow the settings"
  }
}

run "versions_and_compacted_days" {
  command = plan

  assert {
    condition     = join(" ", keys(aws_glue_catalog_table.main)) == "activity_compact activity_final activity_rebuilt city_activity_compact city_activity_final city_activity_rebuilt"
    error_message = "each table must be three: final, compacted, rebuilt"
  }

  assert {
    condition     = { for name in ["activity_final", "activity_compact", "activity_rebuilt"] : name => [aws_glue_catalog_table.main[name].storage_descriptor[0].location, reverse(aws_glue_catalog_table.main[name].storage_descriptor[0].columns)[0].name] } == { activity_final = ["s3://spillway-111122223333-eu-central-1/tables/activity/", "unique_actors_exact"], activity_compact = ["s3://spillway-111122223333-eu-central-1/compact/activity/", "unique_actors_exact"], activity_rebuilt = ["s3://spillway-111122223333-eu-central-1/rebuilt/activity/", "version"] }
    error_message = "each must be where the consumer puts it; what was rebuilt has a version"
  }

  assert {
    condition     = strcontains(aws_athena_named_query.view["city_activity"].query, "SELECT dt, window_start, window_end, place, events, reposts, referencing, unique_actors, unique_actors_exact FROM ranked WHERE version = newest") && startswith(aws_athena_named_query.view["city_activity"].query, "CREATE OR REPLACE VIEW city_activity AS")
    error_message = "the view must have the table's columns, and the newest version of each period"
  }
}

run "archives" {
  command = plan

  variables {
    archives = {
      company-archive = { columns = ["id", "created_at", "text", "word_count"], partition_column = "company" }
      posts           = { values = ["acme", "globex"] }
      all             = { columns = ["id", "tags"], partition_column = "" }
    }
  }

  assert {
    condition     = join(" ", [for column in aws_glue_catalog_table.main["company_archive"].storage_descriptor[0].columns : "${column.name}:${column.type}"]) == "id:string created_at:timestamp text:string word_count:bigint topic:string partition:int offset:bigint"
    error_message = "an archive must have its columns, and where each event came from"
  }

  assert {
    condition     = [for name in ["company_archive", "posts", "all"] : join(" ", aws_glue_catalog_table.main[name].partition_keys[*].name)] == ["company dt", "rule dt", "dt"]
    error_message = "archives must be partitioned by their rule, if by any, and by day"
  }

  assert {
    condition = [for name in ["company_archive", "posts", "all"] : aws_glue_catalog_table.main[name].parameters["storage.location.template"]] == [
      "s3://spillway-111122223333-eu-central-1/tables/company-archive/company=$${company}/dt=$${dt}/",
      "s3://spillway-111122223333-eu-central-1/tables/posts/rule=$${rule}/dt=$${dt}/",
      "s3://spillway-111122223333-eu-central-1/tables/all/dt=$${dt}/",
    ]
    error_message = "archives must be looked for where the consumer puts them"
  }

  assert {
    condition     = [aws_glue_catalog_table.main["company_archive"].parameters["projection.company.type"], aws_glue_catalog_table.main["posts"].parameters["projection.rule.type"], aws_glue_catalog_table.main["posts"].parameters["projection.rule.values"]] == ["injected", "enum", "acme,globex"]
    error_message = "known rules must be listed, others named by the query"
  }

  assert {
    condition     = !contains(keys(aws_athena_named_query.view), "posts")
    error_message = "an archive needs no view"
  }
}
