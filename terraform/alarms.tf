# Alarms that do not depend on the hosts: they tell of what Prometheus cannot, because it would be down too. The rest
# is Prometheus' (ansible/, role monitoring).

locals {
  alarm_topic_arn = "arn:${local.partition}:sns:${var.region}:${local.account}:${var.name}-alarms"

  host_alarms = merge([for name, host in local.hosts : merge(
    {
      "${name}-status" = {
        what       = "${name} or its volumes do not answer AWS' own checks", namespace = "AWS/EC2", metric = "StatusCheckFailed"
        dimensions = { InstanceId = module.host[name].instance_id }, statistic = "Maximum"
        period     = 60, periods = 3, over = 0, missing = "breaching"
      }
      "${name}-cpu" = {
        what       = "${name} has been short of CPU for 15 minutes", namespace = "AWS/EC2", metric = "CPUUtilization"
        dimensions = { InstanceId = module.host[name].instance_id }, statistic = "Average"
        period     = 300, periods = 3, over = 85, missing = "missing"
      }
    },
    startswith(host.instance_type, "t") ? {
      "${name}-credits" = {
        what       = "${name} is charged for CPU beyond its credits: a larger type is cheaper", namespace = "AWS/EC2", metric = "CPUSurplusCreditsCharged"
        dimensions = { InstanceId = module.host[name].instance_id }, statistic = "Maximum"
        period     = 300, periods = 12, over = 0, missing = "notBreaching"
      }
    } : {},
    host.data == null ? {} : {
      "${name}-volume" = {
        what       = "${name} asks more of its data volume than it is set to", namespace = "AWS/EBS", metric = "VolumeThroughputExceededCheck"
        dimensions = { VolumeId = module.host[name].volume_id }, statistic = "Average"
        period     = 300, periods = 3, over = 0.5, missing = "notBreaching"
      }
    },
  )]...)

  nat_alarms = { for i in range(var.nat_gateways) : "nat-${i + 1}-ports" => {
    what       = "the NAT gateway of ${local.zones[i]} has no ports left", namespace = "AWS/NATGateway", metric = "ErrorPortAllocation"
    dimensions = { NatGatewayId = aws_nat_gateway.main[i].id }, statistic = "Sum"
    period     = 300, periods = 1, over = 0, missing = "notBreaching"
  } }

  queue_alarms = merge(
    { "loader-dead" = {
      what       = "a final object could not be loaded; its message is in ${local.tables_topic}-dead", namespace = "AWS/SQS", metric = "ApproximateNumberOfMessagesVisible"
      dimensions = { QueueName = "${local.tables_topic}-dead" }, statistic = "Maximum"
      period     = 300, periods = 1, over = 0, missing = "notBreaching"
    } },
    var.loader_lag_minutes == null ? {} : { "loader-lag" = {
      what       = "the loader is ${var.loader_lag_minutes} minutes behind", namespace = "AWS/SQS", metric = "ApproximateAgeOfOldestMessage"
      dimensions = { QueueName = local.tables_topic }, statistic = "Maximum"
      period     = 300, periods = 1, over = coalesce(var.loader_lag_minutes, 0) * 60, missing = "notBreaching"
    } },
  )

  msk_alarms = local.own_brokers ? {} : {
    "msk-offline-partitions" = {
      what       = "partitions have no leader", namespace = "AWS/Kafka", metric = "OfflinePartitionsCount"
      dimensions = { "Cluster Name" = var.name }, statistic = "Maximum"
      period     = 60, periods = 3, over = 0, missing = "notBreaching"
    }
  }

  msk_broker_alarms = { for broker in range(1, local.own_brokers ? 1 : 4) : "msk-${broker}-disk" => {
    what       = "the disk of broker ${broker} is 80 % full", namespace = "AWS/Kafka", metric = "KafkaDataLogsDiskUsed"
    dimensions = { "Cluster Name" = var.name, "Broker ID" = tostring(broker) }, statistic = "Maximum"
    period     = 300, periods = 1, over = 80, missing = "missing"
  } }

  alarms = merge(local.host_alarms, local.nat_alarms, local.queue_alarms, local.msk_alarms, local.msk_broker_alarms)
}

resource "aws_sns_topic" "alarms" {
  name              = "${var.name}-alarms"
  display_name      = "Alarms of ${var.name}"
  kms_master_key_id = aws_kms_key.data.arn

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "FromOurAlarms"
      Effect    = "Allow"
      Principal = { Service = "cloudwatch.amazonaws.com" }
      Action    = "sns:Publish"
      Resource  = local.alarm_topic_arn
      Condition = {
        ArnLike      = { "aws:SourceArn" = "arn:${local.partition}:cloudwatch:${var.region}:${local.account}:alarm:${var.name}-*" }
        StringEquals = { "aws:SourceAccount" = local.account }
      }
    }]
  })
}

resource "aws_sns_topic_subscription" "alarms" {
  for_each = var.alarm_emails

  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = each.key
}

resource "aws_cloudwatch_metric_alarm" "all" {
  for_each = local.alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.what
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  period              = each.value.period
  evaluation_periods  = each.value.periods
  comparison_operator = "GreaterThanThreshold"
  threshold           = each.value.over
  treat_missing_data  = each.value.missing
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}

# The dead man's switch of the whole: whatever has stopped, from the upstream to S3, no more final objects come.
resource "aws_cloudwatch_metric_alarm" "silent" {
  count = var.silent_minutes == null ? 0 : 1

  alarm_name          = "${var.name}-silent"
  alarm_description   = "No final object has been created for ${var.silent_minutes} minutes"
  namespace           = "AWS/SNS"
  metric_name         = "NumberOfMessagesPublished"
  dimensions          = { TopicName = local.tables_topic }
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = floor(var.silent_minutes / 5)
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  treat_missing_data  = "breaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}
