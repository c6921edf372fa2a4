# What the caller says of a host.

variable "name" {
  description = "Its name, for the tag Name and the host's own name."
  type        = string
}

variable "group" {
  description = "Its group in the inventory, for the tag Group."
  type        = string
}

variable "ami" {
  description = "The image; looked at only when the instance is made."
  type        = string
}

variable "instance_type" {
  description = "The instance type."
  type        = string
}

variable "architecture" {
  description = "The instance type's architecture as Debian calls it."
  type        = string

  validation {
    condition     = contains(["amd64", "arm64"], var.architecture)
    error_message = "architecture must be amd64 or arm64."
  }
}

variable "subnet_id" {
  description = "The subnet, in zone."
  type        = string
}

variable "zone" {
  description = "The subnet's zone; the data volume is made there."
  type        = string
}

variable "private_ip" {
  description = "Its address in the subnet: the same after the instance is replaced, so that certificates and configurations stay right."
  type        = string
}

variable "public_ip" {
  description = "Whether it gets a public address."
  type        = bool
  default     = false
}

variable "security_group_id" {
  description = "Its security group."
  type        = string
}

variable "instance_profile" {
  description = "Its instance profile."
  type        = string
}

variable "key_name" {
  description = "The key pair that Ansible logs in with."
  type        = string
}

variable "kms_key_arn" {
  description = "The key of its volumes."
  type        = string
}

variable "root_gib" {
  description = "Size of the root volume, GiB."
  type        = number
}

variable "data" {
  description = "Its own volume for data, gp3, and where it is mounted. Null for none. The volume outlives the instance."
  type = object({
    gib              = number
    iops             = optional(number, 3000)
    throughput_mibps = optional(number, 125)
    mount            = string
  })
  default = null
}

variable "agent_url" {
  description = "Where the package of the agent of Session Manager is."
  type        = string
}

variable "deletion_protection" {
  description = "Refuse to terminate the instance."
  type        = bool
}
