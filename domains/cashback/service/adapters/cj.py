"""CJ: records of its commission detail, one or a page of them.

A record is never changed. What happens to a sale later comes as a new record that names the original action and says
what it adds, mostly below zero; how far the money is, as a later state of the same record.
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

KIND = "cj"


def adapt(postback: Postback, settings: AdapterSettings) -> list[AdaptedEvent]:
    records = _records(postback.fields_or_list())
    return each(KIND, records, postback.raw, lambda record, raw: _adapted(record, raw, postback, settings))


def _records(document: Any) -> list[Any]:
    """Whether it is the whole answer of the interface, its records, or one of them."""
    if isinstance(document, Mapping):
        document = document.get("data", document)
        document = document.get("publisherCommissions", document) if isinstance(document, Mapping) else document
        document = document.get("records", [document]) if isinstance(document, Mapping) else document
    if not isinstance(document, list):
        raise Malformed("there is no list of records")
    return document


def _adapted(record: Any, raw: bytes, postback: Postback, settings: AdapterSettings) -> AdaptedEvent:
    if not isinstance(record, Mapping):
        raise Malformed("a record is no JSON object")
    own = text_of(record.get("commissionId"))
    original = record.get("original") not in (False, "false")
    sale = text_of(record.get("originalActionId")) or own
    status = text_of(record.get("actionStatus"))
    # A record in another state is news, but of a correction nothing counts but its amounts, and those never change.
    name = event_id(KIND, sale, {"record": own, "status": status} if original else {"record": own})
    try:
        currency = currency_of(record.get("pubCurrency"), settings)
        order = amount_minor(record.get("saleAmountPubCurrency"), currency, "saleAmountPubCurrency")
        commission = amount_minor(record.get("pubCommissionAmountPubCurrency"), currency, "pubCommissionAmount")
        fields = {
            "conversion_id": sale,
            "click_id": text_of(record.get("shopperId")) or text_of(record.get("sid")),
            "merchant": merchant_of(record.get("advertiserId"), settings),
            "status": status,
            "order_amount_minor": order,
            "commission_minor": commission,
            "amounts": "first" if original else "change",
            "currency": currency,
            "customer_type": _customer_type(record),
            "occurred_at": _changed(record, status, postback, settings),
            "reason": text_of(record.get("correctionReason")),
        }
        return adapted(name, raw, fields, lines=_lines(record, currency))
    except Malformed as fault:
        return AdaptedEvent(name, raw, None, str(fault))


def _changed(record: Mapping[str, Any], status: str, postback: Postback, settings: AdapterSettings) -> Any:
    """A record that is new tells its time; when it was locked or closed, nobody says but by telling it."""
    posted = moment(record.get("postingDate"), "postingDate", settings)
    if status == "new" and posted is not None:
        return posted
    if status == "locked":
        locked = moment(record.get("lockingDate"), "lockingDate", settings)
        # It is announced before: a time that lies ahead is not when this was said.
        return min(locked, postback.received_at) if locked else postback.received_at
    return postback.received_at


def _customer_type(record: Mapping[str, Any]) -> str:
    new = record.get("newToFile")
    return "unknown" if new is None else "new" if new in (True, "true") else "existing"


def _lines(record: Mapping[str, Any], currency: str) -> list[Line]:
    found = []
    for item in record.get("items") or ():
        quantity = int(text_of(item.get("quantity")) or 1)
        each = amount_minor(item.get("perItemSaleAmountPubCurrency"), currency, "perItemSaleAmount")
        amount = None if each is None else each * quantity
        category = text_of(item.get("itemListId"))
        found.append(Line(text_of(item.get("sku")), category, quantity, amount))
    return found
