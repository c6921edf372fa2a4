# What the inventory and the alarms need to know of a host.

output "instance_id" {
  description = "The instance, by which Session Manager knows it."
  value       = aws_instance.host.id
}

output "private_ip" {
  description = "Its address in the VPC."
  value       = var.private_ip
}

output "volume_id" {
  description = "The data volume; null when there is none."
  value       = one(aws_ebs_volume.data[*].id)
}

output "user_data" {
  description = "What cloud-init does at the first boot."
  value       = local.user_data
}

output "placement" {
  description = "Where it is, and what it may do there."
  value = {
    zone              = var.zone
    subnet_id         = aws_instance.host.subnet_id
    security_group_id = one(aws_instance.host.vpc_security_group_ids)
    instance_profile  = aws_instance.host.iam_instance_profile
  }
}
