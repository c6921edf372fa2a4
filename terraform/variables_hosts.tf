# Settings of the hosts and of Kafka.

variable "debian_release" {
  description = "Debian's release on the hosts; its newest image is taken when a host is made."
  type        = string
  default     = "12"

  validation {
    condition     = contains(["12", "13"], var.debian_release)
    error_message = "debian_release must be 12 or 13."
  }
}

variable "kafka" {
  description = "\"brokers\": three instances of our own, set up by ansible/. \"msk\": Amazon MSK with IAM logins."
  type        = string
  default     = "brokers"

  validation {
    condition     = contains(["brokers", "msk"], var.kafka)
    error_message = "kafka must be \"brokers\" or \"msk\"."
  }
}

variable "broker" {
  description = "Each of the three brokers of our own. The data volume is gp3: 3,000 IOPS and 125 MiB/s are in its price."
  type = object({
    instance_type         = optional(string, "m7i.large")
    data_gib              = optional(number, 200)
    data_iops             = optional(number, 3000)
    data_throughput_mibps = optional(number, 125)
    root_gib              = optional(number, 20)
  })
  default = {}

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]*[0-9][a-z0-9-]*\\.[a-z0-9-]+$", var.broker.instance_type))
    error_message = "broker.instance_type must be an EC2 instance type, such as m7i.large."
  }

  validation {
    condition     = !startswith(var.broker.instance_type, "t")
    error_message = "broker.instance_type must not be burstable: a broker out of CPU credits looks like one that is dead."
  }

  validation {
    condition     = var.broker.data_gib >= 20 && var.broker.data_gib <= 16384 && var.broker.root_gib >= 10
    error_message = "broker.data_gib must be from 20 to 16384, root_gib at least 10."
  }

  validation {
    condition     = var.broker.data_iops >= 3000 && var.broker.data_iops <= min(16000, 500 * var.broker.data_gib)
    error_message = "broker.data_iops must be from 3000 to 16000, and at most 500 for each GiB of data_gib: gp3's limits."
  }

  validation {
    condition     = var.broker.data_throughput_mibps >= 125 && var.broker.data_throughput_mibps <= min(1000, floor(var.broker.data_iops / 4))
    error_message = "broker.data_throughput_mibps must be from 125 to 1000, and at most a quarter of data_iops: gp3's limits."
  }
}

variable "edge" {
  description = "The edge instance, which runs spillwayd. spool_gib is the volume of the spool: what an outage of Kafka may fill. With public_ip it has an address of its own, which no one can connect to, and its stream does not pass the NAT gateway."
  type = object({
    instance_type = optional(string, "t3.medium")
    spool_gib     = optional(number, 50)
    root_gib      = optional(number, 20)
    public_ip     = optional(bool, false)
  })
  default = {}

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]*[0-9][a-z0-9-]*\\.[a-z0-9-]+$", var.edge.instance_type))
    error_message = "edge.instance_type must be an EC2 instance type, such as t3.medium."
  }

  validation {
    condition     = var.edge.spool_gib >= 12 && var.edge.spool_gib <= 16384 && var.edge.root_gib >= 10
    error_message = "edge.spool_gib must be from 12 (the spool's default quota of 10 GiB, and its floor of 1 GiB free) to 16384, root_gib at least 10."
  }
}

variable "consumer" {
  description = "The instances that run spillway-consumer: more of them share the topic's partitions."
  type = object({
    count         = optional(number, 1)
    instance_type = optional(string, "t3.medium")
    root_gib      = optional(number, 20)
  })
  default = {}

  validation {
    condition     = var.consumer.count >= 1 && var.consumer.count <= 9 && floor(var.consumer.count) == var.consumer.count && var.consumer.root_gib >= 10
    error_message = "consumer.count must be a whole number from 1 to 9, root_gib at least 10."
  }

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]*[0-9][a-z0-9-]*\\.[a-z0-9-]+$", var.consumer.instance_type))
    error_message = "consumer.instance_type must be an EC2 instance type, such as t3.medium."
  }
}

variable "monitoring" {
  description = "The instance that runs Prometheus; data_gib is the volume of its history. Reached by port forwarding through Session Manager."
  type = object({
    instance_type = optional(string, "t3.small")
    data_gib      = optional(number, 30)
    root_gib      = optional(number, 20)
  })
  default = {}

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]*[0-9][a-z0-9-]*\\.[a-z0-9-]+$", var.monitoring.instance_type))
    error_message = "monitoring.instance_type must be an EC2 instance type, such as t3.small."
  }

  validation {
    condition     = var.monitoring.data_gib >= 10 && var.monitoring.data_gib <= 16384 && var.monitoring.root_gib >= 10
    error_message = "monitoring.data_gib must be from 10 to 16384, root_gib at least 10."
  }
}

variable "ports" {
  description = "TCP ports between the hosts: Kafka's for clients, controllers and between brokers, and its JMX exporter's if there is one; the node exporter's; and the range in which spillwayd and spillway-consumer answer with their metrics, which must hold their own 9464 and 9465."
  type = object({
    kafka_client     = optional(number, 9092)
    kafka_controller = optional(number, 9093)
    kafka_internal   = optional(number, 9094)
    kafka_jmx        = optional(number, 9404)
    node_exporter    = optional(number, 9100)
    spillway_first   = optional(number, 9464)
    spillway_last    = optional(number, 9479)
  })
  default = {}

  validation {
    condition     = alltrue([for port in values(var.ports) : port >= 1024 && port <= 65535 && floor(port) == port])
    error_message = "ports must be whole numbers from 1024 to 65535: no program here may bind lower ones."
  }

  validation {
    condition     = length(distinct([var.ports.kafka_client, var.ports.kafka_controller, var.ports.kafka_internal])) == 3
    error_message = "ports.kafka_client, kafka_controller and kafka_internal must differ."
  }

  validation {
    condition     = var.ports.spillway_first <= 9464 && var.ports.spillway_last >= 9465
    error_message = "ports.spillway_first to spillway_last must hold 9464 and 9465, where spillwayd and spillway-consumer answer."
  }
}

variable "topics" {
  description = "With MSK: the topics that spillwayd may write, the first of which spillway-consumer may read."
  type        = list(string)
  default     = ["events", "events.dead"]

  validation {
    condition     = length(var.topics) >= 1 && length(distinct(var.topics)) == length(var.topics) && alltrue([for topic in var.topics : can(regex("^[A-Za-z0-9._-]{1,249}$", topic))])
    error_message = "topics must be at least one topic, none twice, each of letters, digits, dots, hyphens and underscores."
  }
}

variable "consumer_group" {
  description = "With MSK: the group that spillway-consumer may join."
  type        = string
  default     = "spillway-consumer"

  validation {
    condition     = can(regex("^[A-Za-z0-9._-]{1,249}$", var.consumer_group))
    error_message = "consumer_group must be letters, digits, dots, hyphens and underscores: others would be wildcards of IAM."
  }
}

variable "notify_topic" {
  description = "With MSK: the topic of [notify], which spillway-consumer may then write. Null for none."
  type        = string
  default     = null

  validation {
    condition     = var.notify_topic == null || can(regex("^[A-Za-z0-9._-]{1,249}$", var.notify_topic))
    error_message = "notify_topic must be letters, digits, dots, hyphens and underscores."
  }
}

variable "msk" {
  description = "With MSK: Kafka's version as MSK names it, and each of the three brokers."
  type = object({
    kafka_version = optional(string, "4.1.x.kraft")
    instance_type = optional(string, "kafka.m7g.large")
    data_gib      = optional(number, 200)
  })
  default = {}

  validation {
    condition     = can(regex("^([4-9]|[1-9][0-9])\\.[0-9]+\\.x\\.kraft$", var.msk.kafka_version))
    error_message = "msk.kafka_version must be 4.0.x.kraft or newer, as MSK names it."
  }

  validation {
    condition     = can(regex("^kafka\\.[a-z0-9]+\\.[a-z0-9]+$", var.msk.instance_type)) && !startswith(var.msk.instance_type, "kafka.t")
    error_message = "msk.instance_type must be a broker type of MSK, such as kafka.m7g.large, and not burstable."
  }

  validation {
    condition     = var.msk.data_gib >= 20 && var.msk.data_gib <= 16384
    error_message = "msk.data_gib must be from 20 to 16384."
  }
}
