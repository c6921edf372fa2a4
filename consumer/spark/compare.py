"""Compares two tables in Parquet row by row: that of spillway-consumer and that of Spark.

    python compare.py STORE/tables/city_activity SPARK/city_activity

Needs DuckDB (`pip install duckdb`). Columns are those of the second table. Exits with 1 when rows differ.
"""

import sys

import duckdb

SHOWN = 10


def main(ours, theirs):
    db = duckdb.connect()
    db.execute("SET TimeZone = 'UTC'")
    db.execute("SET enable_progress_bar = false")
    for name, folder in (("theirs", theirs), ("ours", ours)):
        files = f"read_parquet('{folder}/**/*.parquet', hive_partitioning = false)"
        names = [row[0] for row in db.execute(f"DESCRIBE SELECT * FROM {files}").fetchall()]
        names = names if name == "theirs" else [row[0] for row in db.execute("DESCRIBE theirs").fetchall()]
        # One writes times with a zone, the other may not: microseconds are the same for both.
        shaped = ", ".join(f"epoch_us({n}) AS {n}" if n in ("window_start", "window_end") else n for n in names)
        db.execute(f"CREATE TABLE {name} AS SELECT {shaped} FROM {files}")
    differences = 0
    for here, there in (("ours", "theirs"), ("theirs", "ours")):
        rows = db.execute(f"FROM {here} EXCEPT ALL FROM {there} ORDER BY ALL").fetchall()
        differences += len(rows)
        for row in rows[:SHOWN]:
            print(f"only in {here}: {row}")
    count = db.execute("SELECT count(*) FROM theirs").fetchone()[0]
    print(f"{count} rows, {differences} differences")
    return 1 if differences or not count else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
