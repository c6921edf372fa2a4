# The inventory of Ansible: terraform output -raw ansible_inventory > ../ansible/inventories/ec2/hosts.yml. SSH goes
# through Session Manager, which knows hosts by their instance; addresses are host variables.

locals {
  bootstrap = (local.own_brokers
    ? join(",", [for host in values(local.brokers) : "${host.ip}:${var.ports.kafka_client}"])
    : aws_msk_cluster.main[0].bootstrap_brokers_sasl_iam
  )

  ssh_proxy = "aws ssm start-session --region ${var.region} --target %h --document-name AWS-StartSSHSession --parameters portNumber=%p"

  # Of the host and not of all: what an inventory's group_vars say of all goes over what the inventory itself says of
  # all, and only Terraform knows the region and, with MSK, the brokers.
  inventory_hosts = { for name, host in local.hosts : name => merge(
    {
      ansible_host            = module.host[name].instance_id
      ansible_ssh_common_args = "-o ProxyCommand=\"${local.ssh_proxy}\" -o StrictHostKeyChecking=accept-new"
      instance_id             = module.host[name].instance_id
      private_ip              = host.ip
      availability_zone       = local.zones[host.zone]
      architecture            = local.architecture[host.instance_type]
    },
    local.own_brokers ? {} : { spillway_kafka_brokers = local.bootstrap },
    host.data == null ? {} : { data_mount = host.data.mount },
    host.vars,
  ) }

  inventory = {
    all = {
      vars = {
        ansible_user            = "admin"
        aws_region              = var.region
        kafka_client_port       = var.ports.kafka_client
        kafka_controller_port   = var.ports.kafka_controller
        kafka_internal_port     = var.ports.kafka_internal
        kafka_jmx_exporter_port = var.ports.kafka_jmx
        monitoring_node_port    = var.ports.node_exporter
        spillway_store_url      = local.store_url
        spillway_store_region   = var.region
      }
      children = { for group in ["kafka", "spillwayd", "spillway_consumer", "monitoring"] : group => {
        hosts = { for name, vars in local.inventory_hosts : name => vars if local.hosts[name].group == group }
      } }
    }
  }
}

output "ansible_inventory" {
  description = "The inventory of Ansible, as YAML."
  value       = yamlencode(local.inventory)
}
