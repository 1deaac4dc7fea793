"""Looking at work that is asked for and not done yet, so that no more of it is asked for."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select

from wapsi.db import ReadSession
from wapsi.queue.models import JobRow


async def unfinished(session: ReadSession, kind: str) -> list[Mapping[str, Any]]:
    """The args of this kind's jobs that are neither done nor dead."""
    return list(await session.scalars(select(JobRow.args).where(JobRow.kind == kind, JobRow.wake_at.is_not(None))))
