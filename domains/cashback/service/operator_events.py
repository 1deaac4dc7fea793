"""What an operator decided on a sale, in the inbox beside what networks say of it."""

import orjson

from domains.cashback.service.records import Conversion, Event
from domains.cashback.states import Door, EventOutcome
from wapsi.ids import new_id
from wapsi.security.principal import Principal
from wapsi.telemetry.setup import current_trace_id


def operator_event(sale: Conversion, principal: Principal, reason_code: str) -> Event:
    return Event(
        id=new_id(),
        source=sale.source,
        external_event_id=f"operator:{new_id()}",
        door=Door.OPERATOR,
        raw=b"",
        fields=orjson.Fragment("{}"),
        raw_status="",
        mapping_version=None,
        outcome=EventOutcome.APPLIED,
        error=None,
        message=reason_code,
        conversion_id=sale.id,
        actor=str(principal),
        trace_id=current_trace_id(),
    )
