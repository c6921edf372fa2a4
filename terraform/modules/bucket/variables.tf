# What the caller says of a bucket.

variable "name" {
  description = "The bucket's name."
  type        = string
}

variable "arn" {
  description = "Its ARN, which the caller makes of the name: known before the bucket is there, so that plans show the policy."
  type        = string
}

variable "kms_key_arn" {
  description = "The key that its objects are encrypted with."
  type        = string
}

variable "versioned" {
  description = "Whether deleted objects are kept as old versions."
  type        = bool
}

variable "statements" {
  description = "Statements of its policy as JSON, an array, besides those that every bucket gets."
  type        = string
  default     = "[]"
}

variable "lifecycle_rules" {
  description = "What S3 deletes by itself, by name: objects below prefix after days, old versions after noncurrent_days."
  type = map(object({
    prefix          = optional(string, "")
    days            = optional(number)
    noncurrent_days = optional(number)
  }))
  default = {}
}

variable "access_log_bucket" {
  description = "The bucket of the access log; null for none."
  type        = string
  default     = null
}
