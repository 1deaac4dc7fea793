"""Changes that came before their sale: handed in again, under a name of their own, once the sale is known."""

from datetime import timedelta

import orjson

from domains.cashback.service.conversions import ingest_many
from domains.cashback.service.events import Malformed, SaleEvent, Source, check_event
from domains.cashback.service.reports import Report
from domains.cashback.states import Door
from wapsi.clock import now
from wapsi.db import WriteSession
from wapsi.security.signing import Keys

AT_ONCE = 100
# A sale that is not known by then never will be. Operators see what waits among the events that were refused.
_FOR = timedelta(days=180)
_AGAIN = ":again"
# The refusal of corrections.SALE_NOT_KNOWN_YET, which an index has to itself.
FOUND = """SELECT e.source, e.external_event_id, e.door, e.raw, e.fields::text, e.actor, c.network_id
    FROM conversion_events e JOIN conversions c ON c.source = e.source AND c.external_id = e.fields->>'conversion_id'
    WHERE e.outcome = 'refused' AND e.received_at > $1 AND e.error = 'SALE_NOT_KNOWN_YET' AND NOT EXISTS (
        SELECT 1 FROM conversion_events a WHERE a.source = e.source AND a.external_event_id = e.external_event_id || $2)
    ORDER BY e.id LIMIT $3"""


async def retry_changes(session: WriteSession, keys: Keys) -> int:
    """How many were handed in, at most AT_ONCE. What came stays in the inbox as it came, and so does its refusal."""
    driver = await session.driver()
    rows = await driver.fetch(FOUND, now() - _FOR, _AGAIN, AT_ONCE)
    items = []
    for source, event_id, door, raw, fields, actor, network_id in rows:
        slug = source.removeprefix("direct:")
        reporter = Source(source, slug, None if network_id is None else slug, network_id)
        event, fault = _event(fields)
        items.append((reporter, Report(event_id + _AGAIN, Door(door), raw, actor, event, fault)))
    if items:
        await ingest_many(driver, keys, items)
    return len(items)


def _event(fields: str) -> tuple[SaleEvent | None, str]:
    """Or why it is none any more: what was taken when it came must not keep the others from being handed in."""
    try:
        return check_event(orjson.loads(fields)), ""
    except Malformed as fault:
        return None, str(fault)
