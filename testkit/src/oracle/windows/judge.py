"""Runs the definitions in SQL over a dump of a topic, and compares their rows with tables in Parquet.

Arguments: a job in JSON (see windows.rs). Output: the verdict in JSON.
"""
import glob
import json
import sys

import duckdb

SHOWN = 5  # rows of each kind of difference


def main(path):
    with open(path, encoding="utf-8") as file:
        job = json.load(file)
    db = duckdb.connect()
    db.execute("SET TimeZone = 'UTC'")
    # On a busy machine it would stand between the lines of the output.
    db.execute("SET enable_progress_bar = false")
    for name in ("pane_us", "delay_us", "future_us"):
        db.execute(f"SET VARIABLE {name} = {int(job[name])}")
    columns = "{partition: 'INTEGER', \"offset\": 'BIGINT', timestamp_ms: 'BIGINT', id: 'VARCHAR', value: 'VARCHAR'}"
    db.execute(
        "CREATE TABLE records AS SELECT * FROM read_json(?, format = 'newline_delimited', "
        f"columns = {columns}, maximum_object_size = 67108864)",
        [job["records"]],
    )
    db.execute(job["events_sql"])
    cursor = db.execute("SELECT * FROM tally")
    tally = dict(zip([column[0] for column in cursor.description], cursor.fetchone()))
    tables = [compare(db, job, table) for table in job["tables"]]
    print(json.dumps({"tally": tally, "tables": tables}))


def compare(db, job, table):
    for name in ("window_us", "slide_us", "top_n"):
        db.execute(f"SET VARIABLE {name} = {int(table[name])}")
    db.execute(job["windowed_sql"])
    db.execute("CREATE OR REPLACE TABLE expected AS " + table["sql"])
    columns = ", ".join(row[0] for row in db.execute("DESCRIBE expected").fetchall())
    files = sorted(glob.glob(f"{job['tables_dir']}/{table['name']}/**/*.parquet", recursive=True))
    db.execute("CREATE OR REPLACE TABLE found AS SELECT * FROM expected LIMIT 0")
    if files:
        shaped = columns.replace("window_start", "window_start::TIMESTAMPTZ AT TIME ZONE 'UTC'")
        shaped = shaped.replace("window_end", "window_end::TIMESTAMPTZ AT TIME ZONE 'UTC'")
        db.execute(
            f"INSERT INTO found SELECT {shaped} FROM read_parquet(?, hive_partitioning = false, union_by_name = true)",
            [files],
        )

    def rows(query):
        everything = db.execute(query + " ORDER BY ALL").fetchall()
        return len(everything), [str(row) for row in everything[:SHOWN]]

    missing, missing_rows = rows("FROM expected EXCEPT ALL FROM found")
    surplus, surplus_rows = rows("FROM found EXCEPT ALL FROM expected")
    count = lambda name: db.execute(f"SELECT count(*) FROM {name}").fetchone()[0]
    return {
        "name": table["name"],
        "objects": len(files),
        "expected": count("expected"),
        "found": count("found"),
        "missing": missing,
        "surplus": surplus,
        "examples": [f"missing {row}" for row in missing_rows] + [f"surplus {row}" for row in surplus_rows],
    }


main(sys.argv[1])
