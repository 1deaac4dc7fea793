"""Admitad: postbacks whose parameters are named in the address that was given to it; here by its own macros' names.

A decision comes as another postback about the same action; `reward_ready` says that the money can be withdrawn.
"""

from typing import Any

from domains.cashback.service.adapters.reading import (
    adapted,
    amount_minor,
    currency_of,
    event_id,
    merchant_of,
    moment,
    text_of,
)
from domains.cashback.service.adapters.shapes import AdaptedEvent, AdapterSettings, Postback
from domains.cashback.service.events import Malformed

KIND = "admitad"


def adapt(postback: Postback, settings: AdapterSettings) -> list[AdaptedEvent]:
    fields = postback.fields()
    sale = text_of(fields.get("admitad_id") or fields.get("action_id")) or text_of(fields.get("order_id"))
    name = event_id(KIND, sale, fields)
    try:
        currency = currency_of(fields.get("currency"), settings)
        event = {
            "conversion_id": sale,
            "click_id": text_of(fields.get("subid") or fields.get("subid1")),
            "merchant": merchant_of(fields.get("offer_id") or fields.get("campaign_id"), settings),
            "status": text_of(fields.get("payment_status") or fields.get("status")),
            "order_amount_minor": amount_minor(fields.get("order_sum"), currency, "order_sum"),
            "commission_minor": amount_minor(fields.get("payment_sum"), currency, "payment_sum"),
            "currency": currency,
            "rate_category": text_of(fields.get("tariff_id")),
            "occurred_at": _changed(fields, postback, settings),
            "reason": text_of(fields.get("comment")),
        }
        return [adapted(name, postback.raw, event)]
    except Malformed as fault:
        return [AdaptedEvent(name, postback.raw, None, str(fault))]


def _changed(fields: dict[str, Any], postback: Postback, settings: AdapterSettings) -> Any:
    """`time` is the action's, whatever is said of it later: only what is new came to hold then."""
    if text_of(fields.get("payment_status") or fields.get("status")).lower() in ("new", "pending", "5", "8"):
        return moment(fields.get("time"), "time", settings) or postback.received_at
    return moment(fields.get("closing_date"), "closing_date", settings) or postback.received_at
