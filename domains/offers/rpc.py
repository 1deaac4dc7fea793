"""OfferSyncService: translates between the proto and the service."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp

from domains.merchants import service as merchants
from domains.offers import service
from domains.offers.errors import SyncRequestInvalid
from domains.offers.validation import ValidationRules, validate_item
from wapsi.clock import now
from wapsi.cursors import encode_cursor, id_in_cursor, number_in_cursor
from wapsi.db.transactions import Statements
from wapsi.errors import DomainError
from wapsi.ids import parse_id
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb
from wapsi.rpc.offers.v1 import offer_sync_pb2_grpc as pb_grpc
from wapsi.rpc.service import RPCService, current_principal
from wapsi.rpc.streams import grouped
from wapsi.runtime import Runtime
from wapsi.security.permissions import Permission

# Of the batches of a stream, so many wait to be stored together; then the producer has to wait.
GROUP_BATCHES = 8
# A sync's end is told when it has taken this much longer; the looks are cheap, but not for nothing.
WATCH_SHARE = 0.02
WATCH_SHORTEST_S = 0.02
WATCH_LONGEST_S = 0.5
_MODES = {pb.SYNC_MODE_FULL: service.SyncMode.FULL, pb.SYNC_MODE_INCREMENTAL: service.SyncMode.INCREMENTAL}
_MODE_VALUES = {mode.value: value for value, mode in _MODES.items()} | {"rollback": pb.SYNC_MODE_ROLLBACK}


class OfferSyncServicer(pb_grpc.OfferSyncServiceServicer):
    def __init__(self, runtime: Runtime) -> None:
        self._db = runtime.db
        self._statements = Statements(runtime.db)

    async def StartSync(self, request: pb.StartSyncRequest, context: Any) -> pb.StartSyncResponse:
        mode = _MODES.get(request.mode)
        if mode is None:
            raise SyncRequestInvalid("mode must be SYNC_MODE_FULL or SYNC_MODE_INCREMENTAL.")
        new = service.NewSync(
            merchant=request.merchant,
            request_id=request.request_id,
            mode=mode,
            as_of=_moment(request.as_of) if request.HasField("as_of") else None,
            source=request.source,
            feed_digest=request.feed_digest,
        )
        async with self._db.write() as session:
            sync = await service.start_sync(session, current_principal(), new)
        return pb.StartSyncResponse(sync=_sync(sync))

    async def PushOffers(
        self, request_iterator: AsyncIterator[pb.PushOffersRequest], context: Any
    ) -> AsyncIterator[pb.PushOffersResponse]:
        """A stream that ends without FinishSync, however it ends, publishes nothing.

        What has come in while a transaction was being committed goes into the next one together.
        """
        position: service.PushPosition | None = None
        async for batches in grouped(request_iterator, most=GROUP_BATCHES):
            if position is None:
                # The primary: a replica may not have the latest batches yet.
                async with self._db.write() as session:
                    sync_id = parse_id(batches[0].sync_id, "sync_id")
                    position = await service.open_push(session, current_principal(), sync_id)
            chunks, fault = await asyncio.to_thread(_chunks, position, batches)
            if chunks:
                async with self._db.write() as session:
                    await service.store_pushed(session, position.sync_id, chunks)
            if fault is None or chunks:
                yield pb.PushOffersResponse(committed_offset=position.offset)
            if fault is not None:
                raise fault

    async def FinishSync(self, request: pb.FinishSyncRequest, context: Any) -> pb.FinishSyncResponse:
        async with self._db.write() as session:
            sync = await service.finish_sync(
                session,
                current_principal(),
                parse_id(request.sync_id, "sync_id"),
                count=request.count,
                checksum=request.checksum,
            )
        return pb.FinishSyncResponse(sync=_sync(sync))

    async def CancelSync(self, request: pb.CancelSyncRequest, context: Any) -> pb.CancelSyncResponse:
        async with self._db.write() as session:
            sync = await service.cancel_sync(session, current_principal(), parse_id(request.sync_id, "sync_id"))
        return pb.CancelSyncResponse(sync=_sync(sync))

    async def GetSync(self, request: pb.GetSyncRequest, context: Any) -> pb.GetSyncResponse:
        return pb.GetSyncResponse(sync=_sync(await self._get(parse_id(request.sync_id, "sync_id"))))

    async def WatchSync(self, request: pb.WatchSyncRequest, context: Any) -> AsyncIterator[pb.WatchSyncResponse]:
        sync_id = parse_id(request.sync_id, "sync_id")
        last: service.SyncView | None = None
        seen: service.Standing | None = None
        started_s = time.monotonic()
        while True:
            sync = await self._get(sync_id)
            if sync != last:
                yield pb.WatchSyncResponse(sync=_sync(sync))
                last = sync
            if sync.settled:
                return
            before = seen
            while seen == before:
                pause_s = (time.monotonic() - started_s) * WATCH_SHARE
                await asyncio.sleep(min(WATCH_LONGEST_S, max(WATCH_SHORTEST_S, pause_s)))
                async with self._statements.write() as driver:
                    seen = await service.standing_of(driver, sync_id)

    async def _get(self, sync_id: UUID) -> service.SyncView:
        # The primary: producers resume from what it says.
        async with self._db.write() as session:
            return await service.get_sync(session, current_principal(), sync_id)

    async def ListSyncs(self, request: pb.ListSyncsRequest, context: Any) -> pb.ListSyncsResponse:
        size = _page_size(request.page_size, default=50, largest=200)
        before = id_in_cursor("syncs", request.page_token or None)
        async with self._db.read() as session:
            syncs = await service.list_syncs(
                session,
                current_principal(),
                request.merchant,
                before=before,
                limit=size + 1,
            )
        token = encode_cursor("syncs", syncs[size - 1].id) if len(syncs) > size else ""
        return pb.ListSyncsResponse(syncs=[_sync(sync) for sync in syncs[:size]], next_page_token=token)

    async def ListSyncIssues(self, request: pb.ListSyncIssuesRequest, context: Any) -> pb.ListSyncIssuesResponse:
        size = _page_size(request.page_size, default=200, largest=1000)
        sync_id = parse_id(request.sync_id, "sync_id")
        after = number_in_cursor("sync-issues", request.page_token or None) or 0
        async with self._db.read() as session:
            await service.get_sync(session, current_principal(), sync_id)
            issues = await service.list_issues(session, sync_id, after=after, limit=size + 1)
        token = encode_cursor("sync-issues", issues[size - 1].id) if len(issues) > size else ""
        return pb.ListSyncIssuesResponse(issues=[_issue(issue) for issue in issues[:size]], next_page_token=token)

    async def ValidateOffers(self, request: pb.ValidateOffersRequest, context: Any) -> pb.ValidateOffersResponse:
        if not 1 <= len(request.items) <= service.MAX_BATCH_ITEMS:
            raise SyncRequestInvalid(f"Send 1 to {service.MAX_BATCH_ITEMS} items.")
        async with self._db.read() as session:
            merchant = await service.allowed_merchant(session, current_principal(), request.merchant)
        return await asyncio.to_thread(_validate, merchant, request)


def _chunks(
    position: service.PushPosition, batches: Sequence[pb.PushOffersRequest]
) -> tuple[list[service.Chunk], DomainError | None]:
    """What is to be stored, up to the first batch that is wrong, and what is wrong with that one."""
    chunks: list[service.Chunk] = []
    try:
        for batch in batches:
            if parse_id(batch.sync_id, "sync_id") != position.sync_id:
                raise SyncRequestInvalid("A stream pushes to one sync; open another stream for another sync.")
            chunk = service.next_chunk(position, batch)
            if chunk is not None:
                chunks.append(chunk)
                position.move(chunk)
    except DomainError as fault:
        return chunks, fault
    return chunks, None


def _validate(merchant: merchants.MerchantRef, request: pb.ValidateOffersRequest) -> pb.ValidateOffersResponse:
    rules = ValidationRules(
        default_currency=merchant.currency, allowed_landing_hosts=merchant.allowed_landing_hosts, now=now()
    )
    response = pb.ValidateOffersResponse()
    for offset, item in enumerate(request.items):
        offer, problems = validate_item(item, rules)
        if offer is None:
            response.rejected += 1
        else:
            response.accepted += 1
        for problem in problems:
            response.issues.append(
                pb.SyncIssue(offset=offset, line=item.line, offer_id=item.offer.offer_id, issue=problem)
            )
    return response


def _page_size(wanted: int, *, default: int, largest: int) -> int:
    if wanted < 0 or wanted > largest:
        raise SyncRequestInvalid(f"page_size must be between 1 and {largest}.")
    return wanted or default


def _moment(stamp: Timestamp) -> datetime:
    try:
        return stamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise SyncRequestInvalid("as_of is no moment that there is.") from None


def _sync(sync: service.SyncView) -> pb.Sync:
    c = sync.counters
    message = pb.Sync(
        sync_id=str(sync.id),
        merchant=sync.merchant,
        mode=_MODE_VALUES[sync.mode],
        state=f"SYNC_STATE_{sync.state.upper()}",
        committed_offset=sync.committed_offset,
        counters=pb.SyncCounters(
            received=c.received,
            created=c.created,
            updated=c.updated,
            unchanged=c.unchanged,
            withdrawn_by_item=c.withdrawn_by_item,
            stale=c.stale,
            duplicates=c.duplicates,
            rejected=c.rejected,
            withdrawn_unseen=c.withdrawn_unseen,
            warnings=c.warnings,
        ),
        processed=sync.processed,
        reason=sync.reason,
        message=sync.message,
    )
    message.created_at.FromDatetime(sync.created_at)
    if sync.finished_at is not None:
        message.finished_at.FromDatetime(sync.finished_at)
    return message


def _issue(issue: service.SyncIssueView) -> pb.SyncIssue:
    return pb.SyncIssue(
        offset=issue.offset,
        line=issue.line,
        offer_id=issue.offer_id,
        issue=pb.Issue(
            severity=pb.SEVERITY_ERROR if issue.severity == "error" else pb.SEVERITY_WARNING,
            code=issue.code,
            field=issue.field,
            message=issue.message,
            value=issue.value,
        ),
    )


def rpc_service(runtime: Runtime) -> RPCService:
    read, write = Permission.SYNCS_READ, Permission.SYNCS_WRITE
    return RPCService(
        descriptor=pb.DESCRIPTOR.services_by_name["OfferSyncService"],
        add_to_server=pb_grpc.add_OfferSyncServiceServicer_to_server,
        servicer=OfferSyncServicer(runtime),
        permissions={
            "StartSync": write,
            "PushOffers": write,
            "FinishSync": write,
            "CancelSync": write,
            "GetSync": read,
            "WatchSync": read,
            "ListSyncs": read,
            "ListSyncIssues": read,
            "ValidateOffers": write,
        },
    )
