"""dlt: a JSON Lines file merged into PostgreSQL by its key, over CSV files and COPY.

python dlt_merge.py FILE SOCKET_FOLDER DATABASE SCHEMA WORK_FOLDER
"""

import os
import sys

FILE, SOCKET_FOLDER, DATABASE, SCHEMA, WORK_FOLDER = sys.argv[1:6]
os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"

import dlt  # noqa: E402  # reads the variable when it is imported
from dlt.sources.filesystem import filesystem, read_jsonl  # noqa: E402


def main() -> None:
    files = filesystem(bucket_url=os.path.dirname(FILE), file_glob=os.path.basename(FILE))
    offers = (files | read_jsonl()).with_name("offers")
    offers.apply_hints(primary_key="sku", write_disposition="merge")
    # A user and a password must be named; the socket's folder decides where it goes.
    address = f"postgresql://postgres:unused@localhost:5432/{DATABASE}?host={SOCKET_FOLDER}"
    pipeline = dlt.pipeline(
        SCHEMA, destination=dlt.destinations.postgres(address), dataset_name=SCHEMA, pipelines_dir=WORK_FOLDER
    )
    pipeline.run(offers, loader_file_format="csv").raise_on_failed_jobs()


if __name__ == "__main__":
    main()
