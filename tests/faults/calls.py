"""A producer that makes each call of the service by itself, to make them wrong."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any

import grpc

from tests.faults.feeds import finish_request, push_request
from wapsi.rpc.errors import reason_of
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb
from wapsi.rpc.offers.v1 import offer_sync_pb2_grpc as pb_grpc

# Ours must not stand in the way of what the server is to refuse.
_NO_LIMITS = (("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1))


class Calls:
    """One channel. `metadata` overrides the key's header; every call has a deadline."""

    def __init__(self, channel: grpc.aio.Channel, key: str | None, *, deadline_s: float = 30) -> None:
        self._stub: Any = pb_grpc.OfferSyncServiceStub(channel)
        self._metadata = (("authorization", f"Bearer {key}"),) if key is not None else ()
        self._deadline_s = deadline_s
        self.channel = channel

    async def start(self, merchant: str, request_id: str, *, as_of: datetime | None = None, mode: int = 1) -> pb.Sync:
        request = pb.StartSyncRequest(merchant=merchant, request_id=request_id, mode=mode)  # type: ignore[arg-type]
        if as_of is not None:
            request.as_of.FromDatetime(as_of)
        response: pb.StartSyncResponse = await self._call("StartSync", request)
        return response.sync

    async def push(self, sync_id: str, batches: Sequence[tuple[int, Sequence[pb.OfferItem]]]) -> list[int]:
        """One stream with batches of (offset, items); the committed offsets that were answered."""
        requests = [push_request(sync_id, offset, items) for offset, items in batches]
        return await self.push_raw(requests)

    async def push_raw(self, requests: Sequence[pb.PushOffersRequest], **options: Any) -> list[int]:
        call = self._stub.PushOffers(
            iter(requests), **{"metadata": self._metadata, "timeout": self._deadline_s, **options}
        )
        return [response.committed_offset async for response in call]

    async def finish(self, sync_id: str, items: Sequence[pb.OfferItem], **wrong: Any) -> pb.Sync:
        request = finish_request(sync_id, items)
        for name, value in wrong.items():
            setattr(request, name, value)
        return await self.finish_raw(request)

    async def finish_raw(self, request: pb.FinishSyncRequest, **options: Any) -> pb.Sync:
        response: pb.FinishSyncResponse = await self._call("FinishSync", request, **options)
        return response.sync

    async def get(self, sync_id: str, **options: Any) -> pb.Sync:
        response: pb.GetSyncResponse = await self._call("GetSync", pb.GetSyncRequest(sync_id=sync_id), **options)
        return response.sync

    async def settled(self, sync_id: str) -> pb.Sync:
        """The sync once it has ended."""
        call = self._stub.WatchSync(
            pb.WatchSyncRequest(sync_id=sync_id), metadata=self._metadata, timeout=self._deadline_s
        )
        sync = pb.Sync()
        async for response in call:
            sync = response.sync
        return sync

    async def _call(self, method: str, request: Any, **options: Any) -> Any:
        defaults = {"metadata": self._metadata, "timeout": self._deadline_s}
        return await getattr(self._stub, method)(request, **{**defaults, **options})


@contextlib.asynccontextmanager
async def calling(target: str, key: str | None, **options: Any) -> AsyncIterator[Calls]:
    async with grpc.aio.insecure_channel(target, options=_NO_LIMITS) as channel:
        yield Calls(channel, key, **options)


async def refusal(call: Any) -> tuple[str, str | None]:
    """(status, stable reason) of a call that must fail."""
    code, reason, _details = await refusal_in_words(call)
    return code, reason


async def refusal_in_words(call: Any) -> tuple[str, str | None, str]:
    try:
        result = await call
    except grpc.aio.AioRpcError as error:
        return error.code().name, reason_of(error), error.details() or ""
    raise AssertionError(f"it was not refused: {result}")
