"""Awin: transaction notifications (a form field with JSON, or a query of macros), and rows of its transactions report.

A notification tells of a new transaction and says no status: it is pending. Decisions and amendments come in the
report, where `commissionStatus` does. The order's own reference is not Awin's id of the transaction, which counts.
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
from domains.cashback.service.adapters.shapes import AdaptedEvent, AdapterSettings, Line, Postback, from_json
from domains.cashback.service.adapters.words import PAID
from domains.cashback.service.events import Malformed

KIND = "awin"
_FORM_FIELD = "AwinTransactionPush"
_FORMATS = ("%Y-%m-%d %H:%M:%S",)


def adapt(postback: Postback, settings: AdapterSettings) -> list[AdaptedEvent]:
    if postback.body.lstrip()[:1] in (b"[", b"{"):
        document = postback.document()
    else:
        fields = postback.fields()
        pushed = fields.get(_FORM_FIELD)
        document = fields if pushed is None else from_json(pushed)
    return each(KIND, document, postback.raw, lambda row, raw: _adapted(row, raw, postback, settings))


def _adapted(row: Any, raw: bytes, postback: Postback, settings: AdapterSettings) -> AdaptedEvent:
    if not isinstance(row, Mapping):
        raise Malformed("a transaction is no JSON object")
    sale = text_of(row.get("transactionId") or row.get("id"))
    name = event_id(KIND, sale, row)
    try:
        currency = currency_of(_currency(row), settings)
        fields = {
            "conversion_id": sale,
            "click_id": _click(row),
            "merchant": merchant_of(row.get("merchantId") or row.get("advertiserId"), settings),
            "status": _status(row),
            "order_amount_minor": amount_minor(_part(row, "saleAmount", "transactionAmount"), currency, "saleAmount"),
            "commission_minor": amount_minor(_part(row, "commissionAmount", "commission"), currency, "commission"),
            "currency": currency,
            "occurred_at": _changed(row, postback, settings),
            "reason": text_of(row.get("declineReason")) or text_of(row.get("amendReason")),
        }
        return adapted(name, raw, fields, lines=_lines(row, currency))
    except Malformed as fault:
        return AdaptedEvent(name, raw, None, str(fault))


def _part(row: Mapping[str, Any], report: str, notification: str) -> Any:
    """The report has an amount with its currency where the notification has a number."""
    value = row.get(report)
    return value.get("amount") if isinstance(value, Mapping) else row.get(notification, value)


def _currency(row: Mapping[str, Any]) -> Any:
    value = row.get("saleAmount")
    return value.get("currency") if isinstance(value, Mapping) else row.get("transactionCurrency")


def _click(row: Mapping[str, Any]) -> str:
    refs = row.get("clickRefs")
    return text_of(refs.get("clickRef") if isinstance(refs, Mapping) else row.get("clickRef"))


def _status(row: Mapping[str, Any]) -> str:
    if row.get("paidToPublisher") is True:
        return PAID
    return text_of(row.get("commissionStatus")) or "pending"


def _changed(row: Mapping[str, Any], postback: Postback, settings: AdapterSettings) -> Any:
    """When this came to hold: the decision's time, or the sale's. An amendment has none of its own."""
    if row.get("amended") is True or row.get("paidToPublisher") is True:
        return postback.received_at
    decided = moment(row.get("validationDate"), "validationDate", settings, _FORMATS)
    return decided or moment(row.get("transactionDate"), "transactionDate", settings, _FORMATS)


def _lines(row: Mapping[str, Any], currency: str) -> list[Line]:
    """By commission group, whose code is the rate category: that is how Awin divides a sale."""
    parts = row.get("transactionParts") or row.get("commissionGroups") or ()
    if isinstance(parts, str):
        parts = from_json(parts)
    found = []
    for part in parts if isinstance(parts, list) else ():
        code = text_of(part.get("commissionGroupCode") or part.get("code"))
        amount = amount_minor(part.get("amount"), currency, "amount")
        found.append(Line(sku="", category="" if code == "DEFAULT" else code, quantity=1, amount_minor=amount))
    return found
