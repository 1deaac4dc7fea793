"""What was wrong with the rows of a sync: collected while it is processed, stored with its result."""

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import select

from domains.offers.models import SyncIssueRow
from domains.offers.service.views import SyncIssueView
from wapsi.db import ReadSession, WriteSession
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb

# A feed that is wrong throughout says the same thing of every row; the counters still count them all.
MAX_KEPT = 10_000
DUPLICATE_CODE = "DUPLICATE_OFFER_ID"
SEVERITIES = {pb.SEVERITY_WARNING: "warning", pb.SEVERITY_ERROR: "error"}
_COLUMNS = ("sync_id", "item_offset", "line", "offer_id", "severity", "code", "field", "message", "value")


class IssueLog:
    """Keeps errors before warnings where there are more than MAX_KEPT."""

    def __init__(self, sync_id: UUID) -> None:
        self._sync_id = sync_id
        self._kept: dict[str, list[tuple[object, ...]]] = {"error": [], "warning": []}
        self.warnings = 0

    def add(self, offset: int, item: pb.OfferItem, issues: Iterable[pb.Issue]) -> None:
        offer_id = item.offer.offer_id or item.rejected_offer_id
        for issue in issues:
            severity = SEVERITIES.get(issue.severity, "error")
            self._keep(severity, offset, item.line, offer_id, issue.code, issue.field, issue.message, issue.value)

    def add_superseded(self, offset: int, line: int, offer_id: str) -> None:
        message = "The same offer_id came again in this sync; the newest was taken. Send each offer once."
        self._keep("warning", offset, line, offer_id, DUPLICATE_CODE, "offer_id", message, offer_id)

    def _keep(self, severity: str, *values: object) -> None:
        self.warnings += severity == "warning"
        kept = self._kept[severity]
        if len(kept) < MAX_KEPT:
            offset, line, offer_id, *rest = values
            kept.append((self._sync_id, offset, line, str(offer_id)[:50], severity, *rest))

    async def save(self, session: WriteSession) -> None:
        """Ordered by their place in the feed."""
        kept = (self._kept["error"] + self._kept["warning"])[:MAX_KEPT]
        kept.sort(key=lambda record: record[1])  # type: ignore[arg-type, return-value]  # offsets are integers
        driver = await session.driver()
        # An attempt before this one may have been quarantined with its issues.
        await driver.execute("DELETE FROM sync_issues WHERE sync_id = $1", self._sync_id)
        if kept:
            await driver.copy_records_to_table("sync_issues", records=kept, columns=_COLUMNS)


async def list_issues(session: ReadSession, sync_id: UUID, *, after: int, limit: int) -> list[SyncIssueView]:
    """In the order of the feed, behind the issue with the id `after`."""
    rows = await session.scalars(
        select(SyncIssueRow)
        .where(SyncIssueRow.sync_id == sync_id, SyncIssueRow.id > after)
        .order_by(SyncIssueRow.id)
        .limit(limit)
    )
    return [
        SyncIssueView(
            id=row.id,
            offset=row.item_offset,
            line=row.line,
            offer_id=row.offer_id,
            severity=row.severity,
            code=row.code,
            field=row.field,
            message=row.message,
            value=row.value,
        )
        for row in rows
    ]
