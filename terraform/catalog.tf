# The store as Athena sees it. A table of windows is three Glue tables (as they became final, compacted days, what was
# rebuilt) and a view over them that counts each period once (docs/reading.md has the rule); an archive of events is one.
# Columns come from columns.json, days from partition projection: no crawler, and a new day needs nothing.

locals {
  database = replace(var.name, "-", "_")
  columns  = jsondecode(file("${path.module}/columns.json"))

  window_columns = { for name, table in var.tables : name => concat(
    [["window_start", "timestamp"], ["window_end", "timestamp"]],
    [for group in local.columns.groups[table.group_by] : [group, "string"]],
    flatten([for metric in table.metrics : [for column in local.columns.metrics[metric] : { pair = column }]])[*].pair,
    [for column in table.extra : [column.name, column.type]],
  ) }

  window_tables = merge([for name, columns in local.window_columns : {
    for kind, place in { final = "tables", compact = "compact", rebuilt = "rebuilt" } : "${replace(name, "-", "_")}_${kind}" => {
      folder                   = "${place}/${name}"
      columns                  = concat(columns, kind == "rebuilt" ? [["version", "bigint"]] : [])
      by                       = ""
      values                   = []
    }
  }]...)

  archive_tables = { for name, archive in var.archives : replace(name, "-", "_") => {
    folder  = "tables/${name}"
    columns = concat([for column in archive.columns : [column, local.columns.events[column]]], local.columns.events_end)
    by      = archive.partition_column
    values  = archive.values
  } }

  views = { for name, columns in local.window_columns : replace(name, "-", "_") => templatefile("${path.module}/view.sql.tftpl", {
    name    = replace(name, "-", "_")
    columns = join(", ", columns[*][0])
  }) }
}

resource "aws_glue_catalog_database" "main" {
  name        = local.database
  description = "What ${var.name} has counted and kept"
}

resource "aws_glue_catalog_table" "main" {
  for_each = merge(local.window_tables, local.archive_tables)

  database_name = aws_glue_catalog_database.main.name
  name          = each.key
  description   = "${each.value.folder}; times are UTC, window_end is exclusive"
  table_type    = "EXTERNAL_TABLE"

  parameters = merge(
    {
      EXTERNAL                      = "TRUE"
      classification                = "parquet"
      "projection.enabled"          = "true"
      "projection.dt.type"          = "date"
      "projection.dt.format"        = "yyyy-MM-dd"
      "projection.dt.range"         = "${var.tables_from},NOW+1DAYS"
      "projection.dt.interval"      = "1"
      "projection.dt.interval.unit" = "DAYS"
      "storage.location.template"   = "${local.store_url}/${each.value.folder}/${each.value.by == "" ? "" : "${each.value.by}=$${${each.value.by}}/"}dt=$${dt}/"
    },
    each.value.by == "" ? {} : { "projection.${each.value.by}.type" = length(each.value.values) == 0 ? "injected" : "enum" },
    length(each.value.values) == 0 ? {} : { "projection.${each.value.by}.values" = join(",", each.value.values) },
  )

  dynamic "partition_keys" {
    for_each = each.value.by == "" ? [] : [each.value.by]

    content {
      name    = partition_keys.value
      type    = "string"
      comment = "As in the objects' names"
    }
  }

  partition_keys {
    name    = "dt"
    type    = "string"
    comment = "Day in UTC, YYYY-MM-DD; every query should have a condition on it"
  }

  storage_descriptor {
    location      = "${local.store_url}/${each.value.folder}/"
    input_format  = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat"
    output_format = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat"

    ser_de_info {
      serialization_library = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"
    }

    dynamic "columns" {
      for_each = each.value.columns

      content {
        name = columns.value[0]
        type = columns.value[1]
      }
    }
  }
}

# A view is made by Athena and not by Glue: run each of these once, and again when the table's columns have changed.
resource "aws_athena_named_query" "view" {
  for_each = local.views

  name        = "${var.name}-view-${each.key}"
  description = "Makes the view ${each.key}, which counts each period once"
  workgroup   = aws_athena_workgroup.main.id
  database    = aws_glue_catalog_database.main.name
  query       = each.value
}

resource "aws_athena_workgroup" "main" {
  name          = var.name
  description   = "Queries on the tables of ${var.name}"
  force_destroy = false

  configuration {
    # Whatever a client asks for, results are encrypted and go where they expire.
    enforce_workgroup_configuration    = true
    publish_cloudwatch_metrics_enabled = true
    bytes_scanned_cutoff_per_query     = var.athena_scan_limit_gib * 1024 * 1024 * 1024

    engine_version {
      selected_engine_version = "Athena engine version 3"
    }

    result_configuration {
      output_location       = "s3://${local.results_bucket}/"
      expected_bucket_owner = local.account

      encryption_configuration {
        encryption_option = "SSE_KMS"
        kms_key_arn       = aws_kms_key.data.arn
      }
    }
  }
}
