# Settings of the whole: names, network, access. Those of hosts and Kafka are in variables_hosts.tf, those of
# the bucket and the tables in variables_store.tf.

variable "name" {
  description = "Name of this installation: what all names begin with, and the value of the tag Project. IAM roles carry it too, so it must be unique in the account."
  type        = string
  default     = "spillway"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,19}$", var.name))
    error_message = "name must be 2 to 20 lower-case letters, digits and hyphens, and begin with a letter: it becomes part of names that AWS limits."
  }
}

variable "region" {
  description = "AWS region. It needs three availability zones."
  type        = string
  default     = "us-east-1"

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region must be the code of a region, such as us-east-1."
  }
}

variable "tags" {
  description = "Further tags of everything. Project and ManagedBy are set here."
  type        = map(string)
  default     = {}

  validation {
    condition     = length(setintersection(keys(var.tags), ["Project", "ManagedBy", "Name"])) == 0
    error_message = "tags must not set Project, ManagedBy or Name: access through Session Manager is granted by the tag Project."
  }
}

variable "vpc_cidr" {
  description = "Addresses of the VPC, a private range from /16 to /20. Each zone gets a sixteenth of it for private hosts and a 256th for public ones."
  type        = string
  default     = "10.77.0.0/16"

  validation {
    condition     = can(cidrnetmask(var.vpc_cidr)) && can(regex("^(10\\.|172\\.(1[6-9]|2[0-9]|3[01])\\.|192\\.168\\.).*/(1[6-9]|20)$", var.vpc_cidr))
    error_message = "vpc_cidr must be a private IPv4 range (10/8, 172.16/12 or 192.168/16) from /16 to /20."
  }

  validation {
    condition     = try(cidrhost(var.vpc_cidr, 0) == split("/", var.vpc_cidr)[0], false)
    error_message = "vpc_cidr must begin at its first address, such as 10.77.0.0/16."
  }
}

variable "availability_zones" {
  description = "The three zones, by name; the first holds the edge instance and the NAT gateway. Null takes the region's first three."
  type        = list(string)
  default     = null

  validation {
    condition     = var.availability_zones == null || length(distinct(coalesce(var.availability_zones, []))) == 3
    error_message = "availability_zones must be three different zones: a quorum of three brokers survives the loss of one only if no two share it."
  }

  validation {
    condition     = alltrue([for zone in coalesce(var.availability_zones, []) : startswith(zone, var.region)])
    error_message = "availability_zones must be zones of region."
  }
}

variable "nat_gateways" {
  description = "1: one NAT gateway, in the edge's zone. 3: one for each zone, so that the loss of a zone leaves the others their way out."
  type        = number
  default     = 1

  validation {
    condition     = contains([1, 3], var.nat_gateways)
    error_message = "nat_gateways must be 1 or 3."
  }
}

variable "session_manager_endpoints" {
  description = "Interface endpoints for Session Manager in each zone, so that hosts can be reached when the NAT gateway cannot. They cost more than the NAT gateway."
  type        = bool
  default     = false
}

variable "flow_log_traffic" {
  description = "Which connections the VPC's flow log records: REJECT, ACCEPT or ALL. ALL is priced by the connection."
  type        = string
  default     = "REJECT"

  validation {
    condition     = contains(["REJECT", "ACCEPT", "ALL"], var.flow_log_traffic)
    error_message = "flow_log_traffic must be REJECT, ACCEPT or ALL."
  }
}

variable "log_retention_days" {
  description = "How long CloudWatch keeps the flow log, and the brokers' log with MSK."
  type        = number
  default     = 365

  validation {
    condition     = contains([30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days must be one of the periods that CloudWatch knows, from 30: 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, ..."
  }
}

variable "ssh_public_key" {
  description = "The public key that Ansible logs in with. SSH travels inside Session Manager: no security group opens port 22."
  type        = string

  validation {
    condition     = can(regex("^(ssh-ed25519|ecdsa-sha2-nistp(256|384|521)|ssh-rsa) [A-Za-z0-9+/]{60,}={0,3}( .*)?$", trimspace(var.ssh_public_key)))
    error_message = "ssh_public_key must be one public key in OpenSSH's form, such as \"ssh-ed25519 AAAA... comment\"."
  }
}

variable "edge_egress_ports" {
  description = "TCP ports on which the edge may reach its upstreams, anywhere. 80 is also how Debian's packages come."
  type        = set(number)
  default     = [80, 443]

  validation {
    condition     = contains(var.edge_egress_ports, 443) && alltrue([for port in var.edge_egress_ports : port >= 1 && port <= 65535 && floor(port) == port])
    error_message = "edge_egress_ports must be ports from 1 to 65535, with 443 among them: Session Manager needs it."
  }
}

variable "alarm_emails" {
  description = "Addresses that are told of alarms. Each gets a letter from AWS first and must agree."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for address in var.alarm_emails : can(regex("^[^@\\s]+@[^@\\s]+\\.[^@\\s]+$", address))])
    error_message = "alarm_emails must be mail addresses."
  }
}

variable "deletion_protection" {
  description = "Refuse to terminate instances. Set it to false and apply before terraform destroy."
  type        = bool
  default     = true
}
