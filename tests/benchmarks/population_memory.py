"""What shoppers read all day, brought into memory before it is measured, as far as there is room.

After a start each page of a catalogue of millions comes from the disk once, for hours; what is to be measured is any
day, not the first minutes of one.
"""

import os
import time
from pathlib import Path

from rich.console import Console

from wapsi.embedded import EmbeddedPostgres

# In the order in which they matter: listings whole, the documents of the samples, and what leads to other rows.
_FILES = """
WITH files AS (
    SELECT c.oid, c.relkind = 'i' AS is_index, coalesce(i.indrelid, c.oid)::regclass::text AS "table"
    FROM pg_class c LEFT JOIN pg_index i ON i.indexrelid = c.oid WHERE c.relkind IN ('r', 'i')
), ranked AS (
    SELECT oid, CASE WHEN "table" = 'offer_listings' THEN 1
        WHEN "table" ~ '^document_partitions.sample_(1_[0-9]+|2)$' THEN 2
        WHEN is_index AND ("table" ~ '^document_partitions.sample_0_[0-9]+$'
            OR "table" IN ('offers', 'customers', 'facet_counts')) THEN 3
        END AS place
    FROM files
)
SELECT pg_relation_filepath(oid) FROM ranked WHERE place IS NOT NULL ORDER BY place, pg_relation_size(oid)
"""
# The rest is for the server's own buffers, the processes, and what is read beside.
_SHARE = 0.7
_CHUNK_BYTES = 2**20


def bring_into_memory(postgres: EmbeddedPostgres, database: str, console: Console) -> None:
    """Reads the files from one end to the other; what the system keeps of them is read no more."""
    room = int(_SHARE * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    started_s, taken = time.monotonic(), 0
    for name in postgres.admin_execute(_FILES, database=database).split():
        for file in _segments(postgres.data_dir / name):
            if taken + file.stat().st_size > room:
                continue
            taken += _read(file)
    took_s = time.monotonic() - started_s
    console.print(f"[dim]{taken / 2**30:.1f} GiB brought into memory in {took_s:.0f} s[/dim]", highlight=False)


def _segments(first: Path) -> list[Path]:
    """Files of 1 GiB each."""
    return [first, *sorted(first.parent.glob(f"{first.name}.*"), key=lambda file: int(file.suffix[1:]))]


def _read(file: Path) -> int:
    size = 0
    with file.open("rb", buffering=0) as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            size += len(chunk)
    return size
