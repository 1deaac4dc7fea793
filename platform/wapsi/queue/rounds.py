"""Work that is done in parts until there is nothing: each in a short unit of work, that no time limit cuts off."""

from collections.abc import Awaitable, Callable

from wapsi.db import WriteSession
from wapsi.queue.jobs import Job

ROUNDS = 100


async def in_rounds(job: Job, work: Callable[[WriteSession], Awaitable[int]]) -> None:
    """`work` does a part and says how much that was. What is more than ROUNDS parts is left to the next job."""
    for _ in range(ROUNDS):
        async with job.write() as session:
            if not await work(session):
                return
