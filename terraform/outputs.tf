# What is made, for people and programs. The inventory of Ansible is in inventory.tf.

output "store_url" {
  description = "The url of [store] in spillway-consumer.toml."
  value       = local.store_url
}

output "kafka_brokers" {
  description = "The brokers of [kafka] in both configurations."
  value       = local.bootstrap
}

output "hosts" {
  description = "Each host's instance, for aws ssm start-session --target, and its address."
  value       = { for name, host in module.host : name => { instance_id = host.instance_id, private_ip = host.private_ip } }
}

output "tables_queue_url" {
  description = "The queue that tells a loader of final objects."
  value       = aws_sqs_queue.tables.url
}

output "tables_topic_arn" {
  description = "The topic behind it, for further subscribers."
  value       = aws_sns_topic.tables.arn
}

output "alarm_topic_arn" {
  description = "The topic of the alarms, for a pager."
  value       = aws_sns_topic.alarms.arn
}

output "athena_workgroup" {
  description = "The workgroup for queries on the database of the same name (with _ for -)."
  value       = aws_athena_workgroup.main.name
}

output "operator_policy_arn" {
  description = "The policy of those who may log in to the hosts."
  value       = aws_iam_policy.operator.arn
}

output "reader_policy_arn" {
  description = "The policy of those who may query the tables."
  value       = aws_iam_policy.reader.arn
}

output "athena_views" {
  description = "For each view the query that makes it, by its id: aws athena get-named-query shows it."
  value       = { for name, query in aws_athena_named_query.view : name => query.id }
}
