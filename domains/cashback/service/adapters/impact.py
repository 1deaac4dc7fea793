"""impact.com: event notifications (JSON or a query, named as in the template that was given to it) and actions.

An action keeps its id and is changed: each message tells its present state and amounts.
"""

from collections.abc import Mapping
from typing import Any

from domains.cashback.service.adapters.reading import (
    adapted,
    amount_minor,
    currency_of,
    each,
    event_id,
    merchant_of,
    moment,
    text_of,
)
from domains.cashback.service.adapters.shapes import AdaptedEvent, AdapterSettings, Line, Postback
from domains.cashback.service.events import Malformed

KIND = "impact"


def adapt(postback: Postback, settings: AdapterSettings) -> list[AdaptedEvent]:
    document = postback.fields_or_list()
    if isinstance(document, Mapping):
        document = document.get("Actions", document)
    return each(KIND, document, postback.raw, lambda row, raw: _adapted(row, raw, postback, settings))


def _adapted(row: Any, raw: bytes, postback: Postback, settings: AdapterSettings) -> AdaptedEvent:
    if not isinstance(row, Mapping):
        raise Malformed("an action is no JSON object")
    said = _Said(row)
    sale = text_of(said["actionid"] or said["id"])
    name = event_id(KIND, sale, row)
    try:
        currency = currency_of(said["currency"], settings)
        fields = {
            "conversion_id": sale,
            "click_id": text_of(said["subid1"] or said["sharedid"]),
            "merchant": merchant_of(said["campaignid"], settings),
            "status": text_of(said["status"] or said["state"]),
            "order_amount_minor": amount_minor(said["amount"] or said["saleamount"], currency, "amount"),
            "commission_minor": amount_minor(said["payout"], currency, "payout"),
            "currency": currency,
            "customer_type": _customer_type(said),
            "occurred_at": _changed(said, postback, settings),
            "reason": text_of(said["statusdetail"] or said["reason"]),
        }
        return adapted(name, raw, fields, lines=_lines(said["items"], currency))
    except Malformed as fault:
        return AdaptedEvent(name, raw, None, str(fault))


class _Said:
    """Its names are written in several ways: ActionId, action_id."""

    def __init__(self, row: Mapping[str, Any]) -> None:
        self._row = {str(key).replace("_", "").lower(): value for key, value in row.items()}

    def __getitem__(self, name: str) -> Any:
        return self._row.get(name)


def _changed(said: _Said, postback: Postback, settings: AdapterSettings) -> Any:
    modified = moment(said["modificationdate"] or said["statusdate"], "modificationdate", settings)
    if modified is not None:
        return modified
    if text_of(said["status"] or said["state"]).lower() == "pending":
        return moment(said["eventdate"], "eventdate", settings) or postback.received_at
    return postback.received_at


def _customer_type(said: _Said) -> str:
    word = text_of(said["customerstatus"]).lower()
    return word if word in ("new", "existing") else "existing" if word == "returning" else "unknown"


def _lines(items: Any, currency: str) -> list[Line]:
    found = []
    for item in items if isinstance(items, list) else ():
        one = _Said(item)
        amount = amount_minor(one["amt"] or one["saleamount"] or one["amount"], currency, "amt")
        quantity = int(text_of(one["qty"] or one["quantity"]).partition(".")[0] or 1)
        found.append(Line(text_of(one["sku"]), text_of(one["cat"] or one["category"]), quantity, amount))
    return found
