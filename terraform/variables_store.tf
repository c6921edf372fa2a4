# Settings of the bucket, of what is told about its objects, and of the tables that Athena sees.

variable "bucket_name" {
  description = "The store's bucket, which is made here. Null for NAME-ACCOUNT-REGION."
  type        = string
  default     = null

  validation {
    condition     = var.bucket_name == null || can(regex("^[a-z0-9][a-z0-9-]{1,54}[a-z0-9]$", var.bucket_name))
    error_message = "bucket_name must be 3 to 56 lower-case letters, digits and hyphens; dots break TLS for buckets, and \"-athena\" is put behind it."
  }
}

variable "store_prefix" {
  description = "What the names of the store's objects begin with, as in url = \"s3://bucket/prefix\" of spillway-consumer.toml. Empty for none."
  type        = string
  default     = ""

  validation {
    condition     = var.store_prefix == "" || can(regex("^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$", var.store_prefix))
    error_message = "store_prefix must be names of letters, digits, dots, hyphens and underscores with slashes between them; none at the ends."
  }
}

variable "store_folders" {
  description = "The folders below the prefix that spillway-consumer creates objects in, besides _probe. It reads them, and can neither replace nor delete what they hold."
  type        = set(string)
  default     = ["_log", "_notify", "compact", "csv", "rebuilt", "tables"]

  validation {
    condition     = length(setintersection(var.store_folders, ["_log", "tables"])) == 2 && alltrue([for folder in var.store_folders : can(regex("^[a-z_][a-z0-9_-]*$", folder)) && folder != "_probe"])
    error_message = "store_folders must hold _log and tables, each a plain name; _probe is always there and has rights of its own."
  }
}

variable "tables_expire_days" {
  description = "Delete final objects that are older. Null keeps them."
  type        = number
  default     = null

  validation {
    condition     = var.tables_expire_days == null || coalesce(var.tables_expire_days, 0) >= 30
    error_message = "tables_expire_days must be at least 30, or null."
  }
}

variable "noncurrent_days" {
  description = "How long a deleted object can be brought back: S3 keeps it as an old version."
  type        = number
  default     = 30

  validation {
    condition     = var.noncurrent_days >= 1 && floor(var.noncurrent_days) == var.noncurrent_days
    error_message = "noncurrent_days must be a whole number of days, at least 1."
  }
}

variable "access_log_bucket" {
  description = "An existing bucket that gets the S3 access log of the store. Null for no access log."
  type        = string
  default     = null

  validation {
    condition     = var.access_log_bucket == null || can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.access_log_bucket))
    error_message = "access_log_bucket must be the name of a bucket."
  }
}

variable "tables" {
  description = "The tables of windows of spillway-consumer.toml, by name, as Athena shall see them: group_by and metrics as there. extra is for columns that are written besides, as name and Athena's type."
  type = map(object({
    group_by = optional(string, "none")
    metrics  = optional(list(string), ["events", "reposts", "referencing", "unique_actors"])
    extra    = optional(list(object({ name = string, type = string })), [])
  }))
  default = {
    activity      = {}
    city_activity = { group_by = "place" }
  }

  validation {
    condition     = alltrue([for name in keys(var.tables) : can(regex("^[a-z0-9_-]{1,64}$", name))])
    error_message = "tables must be named as spillway-consumer allows: at most 64 lower-case letters, digits, _ and -."
  }

  validation {
    condition     = length(distinct([for name in keys(var.tables) : replace(name, "-", "_")])) == length(var.tables)
    error_message = "tables must still differ when - becomes _, which is how Athena names them."
  }

  validation {
    condition     = alltrue([for table in var.tables : contains(keys(jsondecode(file("${path.module}/columns.json")).groups), table.group_by)])
    error_message = "tables: group_by must be none, place, tag, folded_tag, word, lang or rule."
  }

  validation {
    condition     = alltrue([for table in var.tables : length(table.metrics) >= 1 && length(distinct(table.metrics)) == length(table.metrics)])
    error_message = "tables: metrics must be at least one, none twice."
  }

  validation {
    condition     = alltrue(flatten([for table in var.tables : [for metric in table.metrics : contains(keys(jsondecode(file("${path.module}/columns.json")).metrics), metric)]]))
    error_message = "tables: metrics must be those of spillway-consumer; columns.json has them."
  }

  validation {
    condition     = alltrue(flatten([for table in var.tables : [for column in table.extra : can(regex("^[a-z_][a-z0-9_]*$", column.name)) && contains(["bigint", "double", "boolean", "string", "timestamp", "date", "binary"], column.type)]]))
    error_message = "tables: a column of extra needs a plain name, and bigint, double, boolean, string, timestamp, date or binary as its type."
  }
}

variable "archives" {
  description = "The tables of events (kind = \"events\") of spillway-consumer.toml, by name: columns and partition_column as there, \"\" for partition_by = \"none\". With values, Athena looks in these partitions; without, each query must name one (partition_column = 'value')."
  type = map(object({
    columns          = optional(list(string), ["id", "created_at", "actor", "kind", "place", "place_type", "lang", "text", "word_count", "tags", "rules"])
    partition_column = optional(string, "rule")
    values           = optional(list(string), [])
  }))
  default = {}

  validation {
    condition     = alltrue([for name in keys(var.archives) : can(regex("^[a-z0-9_-]{1,64}$", name))]) && length(setintersection([for name in keys(var.archives) : replace(name, "-", "_")], flatten([for name in keys(var.tables) : [for kind in ["", "_final", "_compact", "_rebuilt"] : "${replace(name, "-", "_")}${kind}"]]))) == 0
    error_message = "archives must be named as spillway-consumer allows, and otherwise than what is made of tables."
  }

  validation {
    condition     = alltrue(flatten([for archive in var.archives : [for column in archive.columns : contains(keys(jsondecode(file("${path.module}/columns.json")).events), column)]])) && alltrue([for archive in var.archives : length(archive.columns) >= 1 && length(distinct(archive.columns)) == length(archive.columns)])
    error_message = "archives: columns must be those of spillway-consumer (columns.json has them), at least one and none twice."
  }

  validation {
    condition     = alltrue([for archive in var.archives : can(regex("^[a-z0-9_]*$", archive.partition_column)) && !contains(concat(archive.columns, ["topic", "partition", "offset", "dt"]), archive.partition_column)])
    error_message = "archives: partition_column must be a plain name that no column has."
  }

  validation {
    condition     = alltrue(flatten([for archive in var.archives : [for value in archive.values : can(regex("^[^,/]+$", value)) && archive.partition_column != ""]]))
    error_message = "archives: values must be without commas and slashes, and belong to a partition_column."
  }
}

variable "tables_from" {
  description = "The first day of the tables, as YYYY-MM-DD: Athena looks for no partition before it."
  type        = string
  default     = "2026-01-01"

  validation {
    condition     = can(regex("^[0-9]{4}-[0-9]{2}-[0-9]{2}$", var.tables_from)) && can(formatdate("YYYY", "${var.tables_from}T00:00:00Z"))
    error_message = "tables_from must be a day, as YYYY-MM-DD."
  }
}

variable "athena_scan_limit_gib" {
  description = "Athena cancels a query that reads more: the guard against a query without a condition on dt."
  type        = number
  default     = 100

  validation {
    condition     = var.athena_scan_limit_gib >= 1 && floor(var.athena_scan_limit_gib) == var.athena_scan_limit_gib
    error_message = "athena_scan_limit_gib must be a whole number, at least 1."
  }
}

variable "athena_results_days" {
  description = "How long results of queries are kept."
  type        = number
  default     = 30

  validation {
    condition     = var.athena_results_days >= 1 && floor(var.athena_results_days) == var.athena_results_days
    error_message = "athena_results_days must be a whole number of days, at least 1."
  }
}

variable "silent_minutes" {
  description = "The alarm for a stream that has stopped: no final object for so long. Above the longest time in which no window closes. Null for none."
  type        = number
  default     = 30

  validation {
    condition     = var.silent_minutes == null || (coalesce(var.silent_minutes, 0) >= 10 && coalesce(var.silent_minutes, 0) <= 1440 && coalesce(var.silent_minutes, 0) % 5 == 0)
    error_message = "silent_minutes must be from 10 to 1440, in steps of 5, or null."
  }
}

variable "loader_lag_minutes" {
  description = "The alarm for a loader that has stopped: the oldest message of the queue of final objects is older. Null when nobody reads the queue."
  type        = number
  default     = null

  validation {
    condition     = var.loader_lag_minutes == null || coalesce(var.loader_lag_minutes, 0) >= 5
    error_message = "loader_lag_minutes must be at least 5, or null."
  }
}
