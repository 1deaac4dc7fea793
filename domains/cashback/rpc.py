"""ConversionService: translates between the proto and the service. Each event succeeds or fails by itself."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from google.rpc import code_pb2, status_pb2

from domains.cashback import service
from domains.cashback.service import BatchInvalid, EventMalformed, EventOutcome, EventRefused
from wapsi.db import ReadSession
from wapsi.errors import DomainError, NotFound, Unavailable
from wapsi.rpc.cashback.v1 import conversion_pb2 as pb
from wapsi.rpc.cashback.v1 import conversion_pb2_grpc as pb_grpc
from wapsi.rpc.errors import status_of
from wapsi.rpc.service import RPCService, current_principal
from wapsi.runtime import Runtime
from wapsi.security.permissions import Permission
from wapsi.security.principal import Principal

MAX_EVENTS = 500
_AMOUNTS = {pb.AMOUNTS_MEANING_FIRST: "first", pb.AMOUNTS_MEANING_CHANGE: "change"}
_CUSTOMER_TYPES = {pb.CUSTOMER_TYPE_NEW: "new", pb.CUSTOMER_TYPE_EXISTING: "existing"}


class ConversionServicer(pb_grpc.ConversionServiceServicer):
    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def ReportConversions(
        self, request: pb.ReportConversionsRequest, context: Any
    ) -> pb.ReportConversionsResponse:
        if not 1 <= len(request.events) <= MAX_EVENTS:
            raise BatchInvalid(f"Send 1 to {MAX_EVENTS} events.")
        principal = current_principal()
        results: list[pb.ConversionResult | None] = [None] * len(request.events)
        reports: dict[int, service.Report] = {}
        for position, event in enumerate(request.events):
            try:
                reports[position] = _report(principal, event)
            except EventMalformed as error:
                results[position] = pb.ConversionResult(event_id=event.event_id, status=status_of(error))
        async with self._runtime.db.read() as session:
            await service.check_reporter(session, principal, request.network)
            sources = await _sources(session, request.network, reports.values())
        items = {}
        for position, report in reports.items():
            source = sources[_direct(request.network, report)]
            if isinstance(source, DomainError):
                event_id = report.external_event_id
                results[position] = pb.ConversionResult(event_id=event_id, status=status_of(source))
            else:
                items[position] = (source, report)
        answers = await service.intake_of(self._runtime).submit_all(list(items.values()))
        for position, answer in zip(items, answers, strict=True):
            results[position] = _answer(request.events[position].event_id, answer)
        return pb.ReportConversionsResponse(results=[result for result in results if result is not None])

    async def GetConversion(self, request: pb.GetConversionRequest, context: Any) -> pb.GetConversionResponse:
        async with self._runtime.db.read() as session:
            sale, merchant_id = await service.find_conversion(session, request.network, request.conversion_id)
        if not current_principal().may_use_merchant(merchant_id):
            # Like a sale that does not exist: a stranger is not told which it is.
            raise service.ConversionNotFound("There is no such sale.", source=request.network)
        return pb.GetConversionResponse(conversion=_conversion(sale))


async def _sources(
    session: ReadSession, network: str, reports: Iterable[service.Report]
) -> dict[str, service.Source | DomainError]:
    """Who reports: the network, or by its slug each direct merchant that the events name."""
    found: dict[str, service.Source | DomainError] = {}
    for merchant in {_direct(network, report) for report in reports}:
        try:
            found[merchant] = await service.source_of(session, network, merchant)
        except NotFound as error:
            found[merchant] = error
    return found


def _direct(network: str, report: service.Report) -> str:
    return "" if network or report.event is None else report.event.merchant


def _report(principal: Principal, event: pb.ConversionEvent) -> service.Report:
    """Raises EventMalformed."""
    if not event.event_id or len(event.event_id) > 200 or "\0" in event.event_id:
        raise EventMalformed("event_id must have 1 to 200 characters.")
    try:
        sale = service.check_event(_fields(event))
    except service.Malformed as error:
        raise EventMalformed(f"The event could not be read: {error}.") from None
    raw = event.SerializeToString(deterministic=True)
    return service.Report(event.event_id, service.Door.GRPC, raw, str(principal), sale, principal=principal)


def _answer(event_id: str, answer: service.EventResult | BaseException) -> pb.ConversionResult:
    if isinstance(answer, service.EventResult):
        return _result(event_id, answer)
    # What the database could not do is not this event's fault: the whole call is worth a retry.
    if isinstance(answer, DomainError) and not isinstance(answer, Unavailable):
        return pb.ConversionResult(event_id=event_id, status=status_of(answer))
    raise answer


def _fields(event: pb.ConversionEvent) -> dict[str, Any]:
    currencies = {money.currency for money in (event.order_amount, event.commission) if money.ByteSize()}
    if event.currency:
        currencies.add(event.currency)
    if len(currencies) > 1:
        raise service.Malformed("order_amount and commission must be in one currency")
    return {
        "conversion_id": event.conversion_id,
        "click_id": event.click_id,
        "merchant": event.merchant,
        "status": event.status,
        "order_amount_minor": event.order_amount.amount_minor if event.HasField("order_amount") else None,
        "commission_minor": event.commission.amount_minor if event.HasField("commission") else None,
        "amounts": _AMOUNTS.get(event.amounts_meaning, "total"),
        "currency": next(iter(currencies), None),
        "rate_category": event.rate_category,
        "line_items": [_line(line) for line in event.line_items] or None,
        "customer_type": _CUSTOMER_TYPES.get(event.customer_type, "unknown"),
        "occurred_at": _moment(event),
        "reason": event.reason,
    }


def _line(line: pb.LineItem) -> dict[str, Any]:
    return {
        "sku": line.sku,
        "category": line.category,
        "quantity": line.quantity,
        "amount_minor": line.amount_minor,
    }


def _moment(event: pb.ConversionEvent) -> datetime | None:
    if not event.HasField("occurred_at"):
        return None
    try:
        return event.occurred_at.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise service.Malformed("occurred_at: is no moment between the years 1 and 9999") from None


def _result(event_id: str, result: service.EventResult) -> pb.ConversionResult:
    if result.outcome in (EventOutcome.APPLIED, EventOutcome.IGNORED):
        status = status_pb2.Status(code=code_pb2.OK, message=result.message)
    else:
        status = status_of(EventRefused(result.message, cause=result.reason))
    return pb.ConversionResult(
        event_id=event_id,
        id=str(result.conversion_id) if result.conversion_id is not None and status.code == code_pb2.OK else "",
        status=status,
        repeated_event=result.repeated,
    )


def _conversion(sale: service.ConversionView) -> pb.Conversion:
    message = pb.Conversion(
        id=str(sale.id),
        network=sale.source,
        conversion_id=sale.external_id,
        merchant=sale.merchant,
        state=f"CONVERSION_STATE_{sale.state.name}",
        order_amount=pb.Money(amount_minor=sale.order_amount_minor, currency=sale.currency),
        commission=pb.Money(amount_minor=sale.commission_minor, currency=sale.currency),
        reward=pb.Money(amount_minor=sale.reward_minor, currency=sale.currency),
    )
    message.occurred_at.FromDatetime(sale.occurred_at)
    return message


def rpc_service(runtime: Runtime) -> RPCService:
    report = Permission.CONVERSIONS_REPORT
    return RPCService(
        descriptor=pb.DESCRIPTOR.services_by_name["ConversionService"],
        add_to_server=pb_grpc.add_ConversionServiceServicer_to_server,
        servicer=ConversionServicer(runtime),
        permissions={"ReportConversions": report, "GetConversion": report},
    )
