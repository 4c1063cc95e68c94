"""Says what DuckDB and polars find in an export: one JSON document on stdout.

Both are readers of Parquet that are not ours. DuckDB runs the script that the export
brings along; polars is pointed at the files.
"""

import json
import os
import sys

import duckdb
import polars

TABLES = ["requests", "detections", "offenders"]


def duckdb_sees(questions):
    connection = duckdb.connect()
    with open("duckdb.sql", encoding="utf-8") as script:
        connection.execute(script.read())

    def one(query):
        return connection.execute(query).fetchone()[0]

    return {
        "rows": {table: one(f"SELECT count(*) FROM {table}") for table in TABLES},
        "flagged": one("SELECT count(*) FROM requests WHERE flagged"),
        "first": str(one("SELECT epoch_ms(min(time)) FROM requests")),
        "in_their_hour": one(
            "SELECT count(*) FROM requests"
            " WHERE CAST(time AT TIME ZONE 'UTC' AS DATE) = date"
            " AND extract(hour FROM time AT TIME ZONE 'UTC') = hour"
        ),
        "top": one("SELECT source FROM offenders ORDER BY score DESC, source LIMIT 1"),
        "joined": one(
            "SELECT count(*) FROM detections JOIN offenders USING (source, standing)"
        ),
        # How many rows the questions of the documentation have.
        "answers": [one(f"SELECT count(*) FROM ({sql})") for sql in questions],
        "types": {
            table: {
                name: kind
                for name, kind, *_ in connection.execute(f"DESCRIBE {table}").fetchall()
            }
            for table in TABLES
        },
    }


def polars_sees():
    frames = {
        "requests": polars.read_parquet("requests/*/*/*.parquet", hive_partitioning=False),
        "detections": polars.read_parquet("detections/*.parquet"),
        "offenders": polars.read_parquet("offenders/*.parquet"),
    }
    requests = frames["requests"]
    top = frames["offenders"].sort(["score", "source"], descending=[True, False])
    return {
        "rows": {table: frame.height for table, frame in frames.items()},
        "flagged": int(requests["flagged"].sum()),
        "first": str(requests["time"].dt.epoch("ms").min()),
        "top": top["source"][0] if top.height else None,
        "types": {
            table: {name: str(kind) for name, kind in frame.schema.items()}
            for table, frame in frames.items()
        },
    }


if __name__ == "__main__":
    questions = json.load(sys.stdin)
    os.chdir(sys.argv[1])
    print(json.dumps({"duckdb": duckdb_sees(questions), "polars": polars_sees()}))
