# Amazon MSK in place of brokers of our own, with kafka = "msk": three brokers in KRaft mode, TLS, logins by IAM
# only. Topics are made by an administrator; README.md says how.

locals {
  msk_properties = {
    "auto.create.topics.enable"      = "false"
    "default.replication.factor"     = "3"
    "min.insync.replicas"            = "2"
    "unclean.leader.election.enable" = "false"
    # A consumer that reads from the nearest replica (client.rack) saves the price of traffic between zones.
    "replica.selector.class" = "org.apache.kafka.common.replica.RackAwareReplicaSelector"
  }

  # arn:...:cluster/NAME/UUID, of which the ARNs of topics and groups are made.
  msk_arn = local.own_brokers ? "" : aws_msk_cluster.main[0].arn
}

resource "aws_msk_configuration" "main" {
  count = local.own_brokers ? 0 : 1

  name              = var.name
  description       = "No topics by accident; acknowledged means on two of three brokers."
  server_properties = join("", [for key, value in local.msk_properties : "${key}=${value}\n"])

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_cloudwatch_log_group" "msk" {
  count = local.own_brokers ? 0 : 1

  name              = "/${var.name}/msk"
  retention_in_days = var.log_retention_days
  kms_key_id        = aws_kms_key.data.arn
}

resource "aws_msk_cluster" "main" {
  count = local.own_brokers ? 0 : 1

  cluster_name           = var.name
  kafka_version          = var.msk.kafka_version
  number_of_broker_nodes = 3
  # The level that is free; it has what the alarms look at.
  enhanced_monitoring = "DEFAULT"

  broker_node_group_info {
    instance_type   = var.msk.instance_type
    client_subnets  = aws_subnet.private[*].id
    security_groups = [aws_security_group.host["kafka"].id]

    storage_info {
      ebs_storage_info {
        volume_size = var.msk.data_gib
      }
    }
  }

  configuration_info {
    arn      = aws_msk_configuration.main[0].arn
    revision = aws_msk_configuration.main[0].latest_revision
  }

  client_authentication {
    unauthenticated = false

    sasl {
      iam   = true
      scram = false
    }
  }

  encryption_info {
    encryption_at_rest_kms_key_arn = aws_kms_key.data.arn

    encryption_in_transit {
      client_broker = "TLS"
      in_cluster    = true
    }
  }

  logging_info {
    broker_logs {
      cloudwatch_logs {
        enabled   = true
        log_group = aws_cloudwatch_log_group.msk[0].name
      }
    }
  }
}
