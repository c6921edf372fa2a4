"""The tables of spillway-consumer as a Spark Structured Streaming job.

Reads the same topic with the same windows, and writes the same columns as Parquet, one folder a table. See
README.md for how to run it, and for where Spark's rules differ from the consumer's.
"""

import argparse

from pyspark.sql import SparkSession, Window
from pyspark.sql import functions as f

# What is read of a record of X's v2 filtered stream. A record that does not parse as this is left out.
SCHEMA = """
    data STRUCT<
        id: STRING, author_id: STRING, created_at: STRING, text: STRING,
        referenced_tweets: ARRAY<STRUCT<type: STRING>>,
        entities: STRUCT<hashtags: ARRAY<STRUCT<tag: STRING>>>>,
    includes STRUCT<places: ARRAY<STRUCT<full_name: STRING, place_type: STRING>>>,
    _corrupt_record STRING
"""
FUTURE_TOLERANCE = "INTERVAL 10 MINUTES"
SMILE = ":)"
TABLES = ("city_activity", "happiest_hashtags")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--brokers", required=True, help="host:port, more with commas")
    parser.add_argument("--topic", required=True)
    parser.add_argument("--out", required=True, help="where the tables go: a folder, s3a://, ...")
    parser.add_argument("--checkpoint", required=True, help="where Spark keeps its state; one for each --out")
    parser.add_argument("--window", default="5 minutes", help="length of the windows (%(default)s)")
    parser.add_argument("--delay", default="30 seconds", help="how late an event may come (%(default)s)")
    parser.add_argument("--top", type=int, default=10, help="hashtags of a window (%(default)s)")
    parser.add_argument(
        "--once", action="store_true",
        help="read what the topic holds, write every window, and end; else windows are written as they close",
    )
    parser.add_argument("--table", choices=TABLES, action="append", help="one of them (all)")
    parser.add_argument("--records-per-batch", type=int, default=50_000, help="(%(default)s)")
    return parser.parse_args()


def read(spark, args):
    """The events of the topic: one row each, duplicates included."""
    records = (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", args.brokers)
        .option("subscribe", args.topic)
        .option("startingOffsets", "earliest")
        .option("includeHeaders", "true")
        .option("maxOffsetsPerTrigger", args.records_per_batch)
        .load()
    )
    # What is not there is null: Spark's own rule would end the job.
    header = f.expr("try_element_at(filter(headers, h -> h.key = 'spillway-id'), 1).value")
    place = f.get("record.includes.places", 0)
    refers = f.col("record.data.referenced_tweets.type")
    return (
        records.withColumn("record", f.from_json(f.col("value").cast("string"), SCHEMA))
        .where("record IS NOT NULL AND record._corrupt_record IS NULL")
        .select(
            f.coalesce(header.cast("string"), f.concat_ws("-", "partition", "offset")).alias("id"),
            f.try_to_timestamp("record.data.created_at").alias("time"),
            f.col("timestamp").alias("kafka_time"),
            f.col("record.data.author_id").alias("actor"),
            f.when(place["place_type"] == "city", place["full_name"]).alias("place"),
            f.coalesce(f.array_contains(refers, "retweeted"), f.lit(False)).alias("is_repost"),
            (f.coalesce(f.size(refers), f.lit(0)) > 0).alias("is_referencing"),
            f.col("record.data.entities.hashtags.tag").alias("tags"),
            f.expr(f"(length(record.data.text) - length(replace(record.data.text, '{SMILE}', ''))) / 2")
            .cast("long").alias("smiles"),
            f.col("record.data.id").alias("own_id"),
        )
        .where("own_id IS NOT NULL AND actor IS NOT NULL AND time IS NOT NULL")
        .where(f"time <= kafka_time + {FUTURE_TOLERANCE}")
    )


def window_columns():
    return f.col("window.start").alias("window_start"), f.col("window.end").alias("window_end")


def city_activity(events, args):
    """A set of ids counts an event once however often it comes, also when that is hours apart."""
    def ids(condition=None):
        return f.size(f.collect_set("id" if condition is None else f.when(f.col(condition), f.col("id")))).cast("long")

    grouped = events.where("place IS NOT NULL").groupBy(f.window("time", args.window), "place")
    counted = grouped.agg(
        ids().alias("events"),
        ids("is_repost").alias("reposts"),
        ids("is_referencing").alias("referencing"),
        f.size(f.collect_set("actor")).cast("long").alias("unique_actors"),
    )
    return counted.select(*window_columns(), "place", "events", "reposts", "referencing", "unique_actors")


def happiest_hashtags(events, args):
    """The smiles of each hashtag, summed over different events. The first of each window are taken later."""
    smiling = events.where("smiles > 0").withColumn("tag", f.explode(f.array_distinct("tags")))
    grouped = smiling.groupBy(f.window("time", args.window), "tag")
    summed = grouped.agg(
        f.expr("aggregate(collect_set(struct(id, smiles)), 0L, (sum, one) -> sum + one.smiles)").alias("smiles")
    )
    return summed.select(*window_columns(), "tag", "smiles")


def first_of_each_window(table, args):
    """Ties by name."""
    order = Window.partitionBy("window_start").orderBy(f.desc("smiles"), "tag")
    ranked = table.withColumn("rank", f.row_number().over(order))
    return ranked.where(f.col("rank") <= args.top).drop("rank")


def write(name, table, finish, args):
    """Starts a query that writes a table. A batch that Spark repeats replaces what it wrote before."""
    def write_batch(batch, number):
        folder = f"{args.out}/{name}" if args.once else f"{args.out}/{name}/batch={number}"
        finish(batch, args).coalesce(1).write.mode("overwrite").parquet(folder)

    query = table.writeStream.queryName(name).foreachBatch(write_batch)
    query = query.option("checkpointLocation", f"{args.checkpoint}/{name}")
    # Append has each window once, when it is closed; complete has all of them, the last ones too.
    query = query.outputMode("complete" if args.once else "append")
    return (query.trigger(availableNow=True) if args.once else query).start()


def main():
    args = arguments()
    builder = SparkSession.builder.appName("spillway-tables").config("spark.sql.session.timeZone", "UTC")
    # As the consumer writes times, and as other programs read them.
    builder = builder.config("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MICROS")
    spark = builder.getOrCreate()
    events = read(spark, args).withWatermark("time", args.delay)
    queries = []
    for name in args.table or TABLES:
        if name == "city_activity":
            queries.append(write(name, city_activity(events, args), lambda table, _: table, args))
        else:
            queries.append(write(name, happiest_hashtags(events, args), first_of_each_window, args))
    for query in queries:
        query.awaitTermination()
    spark.stop()


if __name__ == "__main__":
    main()
