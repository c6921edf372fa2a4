# The alarms: which there are, and of what.

mock_provider "aws" {
  override_during = plan
  source          = "./tests/mocks"
}

variables {
  region         = "eu-central-1"
  ssh_public_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA test"
}

run "default" {
  command = plan

  override_resource {
    target          = aws_sns_topic.alarms
    values          = { arn = "arn:aws:sns:eu-central-1:111122223333:spillway-alarms" }
    override_during = plan
  }

  assert {
    condition = join(" ", keys(aws_cloudwatch_metric_alarm.all)) == join(" ", [
      "consumer-1-cpu", "consumer-1-credits", "consumer-1-status",
      "edge-1-cpu", "edge-1-credits", "edge-1-status", "edge-1-volume",
      "kafka-1-cpu", "kafka-1-status", "kafka-1-volume", "kafka-2-cpu", "kafka-2-status", "kafka-2-volume", "kafka-3-cpu", "kafka-3-status", "kafka-3-volume",
      "loader-dead",
      "monitoring-1-cpu", "monitoring-1-credits", "monitoring-1-status", "monitoring-1-volume",
      "nat-1-ports",
    ])
    error_message = "each host, volume, gateway and queue must have its alarms"
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.all["kafka-1-status"].namespace == "AWS/EC2" && aws_cloudwatch_metric_alarm.all["kafka-1-status"].metric_name == "StatusCheckFailed" && aws_cloudwatch_metric_alarm.all["kafka-1-status"].dimensions == tomap({ InstanceId = "i-0bbbbbbbbbbbbbbbb" }) && aws_cloudwatch_metric_alarm.all["kafka-1-status"].treat_missing_data == "breaching"
    error_message = "a host that says nothing is a host that is gone"
  }

  assert {
    condition     = alltrue([for alarm in concat(values(aws_cloudwatch_metric_alarm.all), aws_cloudwatch_metric_alarm.silent) : join("", alarm.alarm_actions) == "arn:aws:sns:eu-central-1:111122223333:spillway-alarms" && alarm.ok_actions == alarm.alarm_actions && length(alarm.alarm_description) > 10])
    error_message = "every alarm must be told, with its end, and say what it is"
  }

  assert {
    condition     = [aws_cloudwatch_metric_alarm.silent[0].metric_name, aws_cloudwatch_metric_alarm.silent[0].dimensions.TopicName, aws_cloudwatch_metric_alarm.silent[0].evaluation_periods, aws_cloudwatch_metric_alarm.silent[0].treat_missing_data, aws_cloudwatch_metric_alarm.silent[0].comparison_operator] == ["NumberOfMessagesPublished", "spillway-tables", 6, "breaching", "LessThanThreshold"]
    error_message = "half an hour without a final object must be an alarm, no data above all"
  }

  assert {
    condition     = jsondecode(aws_sns_topic.alarms.policy).Statement[0].Condition.ArnLike == { "aws:SourceArn" = "arn:aws:cloudwatch:eu-central-1:111122223333:alarm:spillway-*" } && length(aws_sns_topic_subscription.alarms) == 0
    error_message = "only alarms of this installation may use the topic"
  }
}

run "told_to_people" {
  command = plan

  variables {
    alarm_emails       = ["ops@example.org"]
    silent_minutes     = null
    loader_lag_minutes = 60
    broker             = { instance_type = "m7i.xlarge" }
    monitoring         = { instance_type = "m7i.large" }
  }

  assert {
    condition     = [for subscription in aws_sns_topic_subscription.alarms : [subscription.protocol, subscription.endpoint]] == [["email", "ops@example.org"]]
    error_message = "those who asked must be told"
  }

  assert {
    condition     = length(aws_cloudwatch_metric_alarm.silent) == 0 && aws_cloudwatch_metric_alarm.all["loader-lag"].threshold == 3600 && !contains(keys(aws_cloudwatch_metric_alarm.all), "monitoring-1-credits")
    error_message = "alarms must follow the settings; only burstable hosts have credits"
  }
}

run "msk" {
  command = plan

  variables {
    kafka = "msk"
  }

  assert {
    condition = join(" ", [for name in keys(aws_cloudwatch_metric_alarm.all) : name if startswith(name, "msk")]) == join(" ", [
      "msk-1-disk", "msk-2-disk", "msk-3-disk", "msk-offline-partitions",
    ])
    error_message = "MSK's disks and partitions must have alarms"
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.all["msk-2-disk"].dimensions == tomap({ "Cluster Name" = "spillway", "Broker ID" = "2" }) && aws_cloudwatch_metric_alarm.all["msk-2-disk"].threshold == 80
    error_message = "alarms of MSK must name the cluster and the broker as MSK does"
  }
}
