"""A process that enqueues a job and is killed before it commits.

    python -m tests.faults.enqueuer N        with the platform's settings in the environment

Prints the job's id once the row is written, and then does nothing, inside the transaction.
"""

import asyncio
import json
import sys

from sqlalchemy import text

from wapsi.config import Settings
from wapsi.db import Database
from wapsi.queue import outbox


async def main(n: int) -> None:
    db = Database(Settings(), role="faults")
    async with db.write() as session:
        job_id = await outbox.enqueue(session, "faults.effect", {"n": n, "work_ms": 0})
        backend = await session.scalar(text("SELECT pg_backend_pid()"))
        print(json.dumps({"job_id": str(job_id), "backend": backend}), flush=True)
        await asyncio.sleep(600)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
