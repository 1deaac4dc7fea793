"""What networks could send: their own shapes with anything in them, whole or damaged; and what was found before."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import orjson
from hypothesis import strategies as st

from domains.cashback.service.adapters import AdapterSettings, Postback
from tests.fuzz.messages import mutated

# One file a finding, or a case that was worth a thought: named by what it is.
CORPUS = {path.name: path.read_bytes() for path in sorted((Path(__file__).parent / "corpus" / "postbacks").iterdir())}
JSON, FORM = "application/json", "application/x-www-form-urlencoded"
NETWORK, MERCHANT = "impact", "daraz"
EVENT_FIELDS = (
    *("conversion_id", "click_id", "merchant", "status", "order_amount_minor", "commission_minor", "currency"),
    *("rate_category", "customer_type", "occurred_at", "reason"),
)
# What each adapter takes as an event; the names are all that it looks for.
GOOD: dict[str, dict[str, Any]] = {
    "admitad": {
        "admitad_id": "sale-1",
        "action_id": "",
        "order_id": "1",
        "currency": "PKR",
        "subid": "",
        "subid1": "",
        "offer_id": "77",
        "campaign_id": "",
        "time": "1763460000",
        "payment_status": "approved",
        "status": "",
        "order_sum": "12.50",
        "payment_sum": "1",
        "tariff_id": "",
        "closing_date": "1763460000",
        "comment": "",
    },
    "awin": {
        "transactionId": "sale-1",
        "id": 1,
        "merchantId": 77,
        "advertiserId": 77,
        "clickRef": "",
        "amended": False,
        "saleAmount": {"amount": 12.5, "currency": "PKR"},
        "transactionAmount": "12.50",
        "commission": "1",
        "commissionAmount": {"amount": 1},
        "transactionCurrency": "PKR",
        "clickRefs": {"clickRef": ""},
        "paidToPublisher": False,
        "commissionStatus": "approved",
        "validationDate": None,
        "declineReason": None,
        "transactionDate": "2025-11-13T12:05:00",
        "transactionParts": [],
        "commissionGroups": [],
    },
    "cj": {
        "commissionId": "1",
        "original": True,
        "originalActionId": "sale-1",
        "actionStatus": "new",
        "sid": "",
        "pubCurrency": "PKR",
        "saleAmountPubCurrency": "12.50",
        "pubCommissionAmountPubCurrency": "1",
        "shopperId": "",
        "advertiserId": "77",
        "postingDate": "2025-11-13T12:05:00Z",
        "lockingDate": None,
        "newToFile": "true",
        "items": [],
        "correctionReason": "",
    },
    "impact": {
        "ActionId": "sale-1",
        "id": "",
        "Currency": "PKR",
        "Items": [],
        "Amount": "12.50",
        "SaleAmount": "",
        "SubId1": "",
        "SharedId": "",
        "CampaignId": "77",
        "Status": "PENDING",
        "State": "",
        "Payout": "1",
        "ModificationDate": "",
        "EventDate": "2025-11-13T12:05:00Z",
        "CustomerStatus": "new",
        "StatusDetail": "",
    },
    "generic": {
        "conversion_id": "sale-1",
        "click_id": "",
        "merchant": "daraz",
        "status": "pending",
        "currency": "PKR",
        "order_amount_minor": "12.50",
        "commission_minor": "1",
        "rate_category": "",
        "customer_type": "new",
        "occurred_at": "2025-11-13T12:05:00Z",
        "reason": "",
    },
    "standard": {
        "event_id": "message-1",
        "conversion_id": "sale-1",
        "click_id": "",
        "merchant": "daraz",
        "status": "pending",
        "order_amount_minor": 125_000,
        "commission_minor": 10_000,
        "currency": "PKR",
        "rate_category": "",
        "line_items": [{"sku": "a", "category": "", "quantity": 1, "amount_minor": 125_000}],
        "customer_type": "new",
        "occurred_at": "2025-11-13T12:05:00Z",
        "reason": "",
    },
}
# Around the rows of a network.
WRAPPINGS = ("Actions", "data", "publisherCommissions", "records", "AwinTransactionPush")
PARTS = (
    "commissionGroupCode",
    "code",
    "amount",
    "quantity",
    "perItemSaleAmountPubCurrency",
    "sku",
    "qty",
    "amt",
    "cat",
)
SETTINGS = st.builds(
    AdapterSettings,
    merchants=st.just({"77": MERCHANT, "1": "no-such-shop", "": MERCHANT}),
    time_zone=st.sampled_from(("UTC", "Asia/Karachi", "America", "Nowhere/Town", "../etc", "\0")),
    currency=st.sampled_from((None, "PKR", "JPY", "pkr", "")),
    mapping=st.just(
        {
            "fields": {name.removesuffix("_minor"): name for name in EVENT_FIELDS} | {"event_id": ["id", "a.b"]},
            "times": ["%d/%m/%Y", "%s", "%j %y"],
        }
    ),
)
_TEXTS = st.one_of(
    st.sampled_from(
        (
            *(
                "sale-1",
                "sale-2",
                "77",
                "1",
                "PKR",
                "pkr",
                "JPY",
                "XXX",
                "pending",
                "approved",
                "declined",
                "paid",
                "new",
            ),
            *(
                "locked",
                "1000",
                "12.50",
                "-5",
                "1,299.00",
                "0.005",
                "9" * 15,
                "9" * 16,
                "1e9",
                "NaN",
                "Infinity",
                "²",
                "٣",
            ),
            *("2026-03-01T10:00:00Z", "2026-03-01 10:00:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"),
            *(
                "0001-01-01",
                "31/12/2025",
                "1763460000",
                "9999999999",
                "999999999999",
                "9999999999999",
                "true",
                "existing",
            ),
            *(
                "",
                " ",
                "\0",
                "a\0b",
                "\ufeff",
                "\u200f",
                "کرتا",
                "x" * 250,
                "9" * 5000,
                "{}",
                "[]",
                '{"id":"\\u0000"}',
                "[[]]",
            ),
            *("no-such-shop", MERCHANT, "00000000-0000-0000-0000-000000000000", "' OR 1=1 --"),
        )
    ),
    st.text(max_size=20),
)
_NUMBERS = st.one_of(
    st.sampled_from(
        (0, 1, -1, 77, 100_000, 10**15, 10**15 + 1, 2**63 - 1, -(2**63), 2**64 - 1, 0.1, 1e308, 5e-324, -0.0)
    ),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
)
_PLAIN = st.one_of(_TEXTS, _TEXTS, _NUMBERS, st.booleans(), st.none())
_PART = st.dictionaries(st.sampled_from(PARTS), _PLAIN, max_size=5)
_VALUES = st.one_of(
    *(_PLAIN, _PLAIN, _PLAIN, _PLAIN),
    st.lists(st.one_of(_PART, _PLAIN), max_size=3),
    st.dictionaries(st.sampled_from(("amount", "currency", "clickRef", "", "a")), _PLAIN, max_size=3),
)


def one_of(*strategies: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Each as often as it is named; those of Hypothesis are made flat, and what has many branches drowns the rest."""
    return st.sampled_from(strategies).flatmap(lambda chosen: chosen)


def rows(good: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A good row with some fields left out or changed; or any of these fields, with anything in them."""
    changes = st.dictionaries(st.sampled_from((*good, "id", "a")), _VALUES, max_size=3)
    without = st.sets(st.sampled_from(tuple(good)), max_size=2)
    changed = st.builds(
        lambda changes, without: {name: value for name, value in (good | changes).items() if name not in without},
        changes,
        without,
    )
    return one_of(st.just(good), changed, changed, st.fixed_dictionaries({}, optional=dict.fromkeys(good, _VALUES)))


def documents(good: dict[str, Any]) -> st.SearchStrategy[Any]:
    """A row, several, or these below the names that networks put around them; or something else altogether."""
    row = rows(good)
    several = one_of(row, st.lists(one_of(row, row, row, _PLAIN), max_size=3))
    wrapped = st.builds(lambda name, value: {name: value}, st.sampled_from(WRAPPINGS), several)
    return one_of(row, row, row, several, wrapped, _VALUES)


def postbacks(kind: str) -> st.SearchStrategy[Postback]:
    """By query, form or JSON, as their content type says or not."""
    document = documents(GOOD[kind])
    raw_json = document.map(orjson.dumps)
    pairs = rows(GOOD[kind]).map(_urlencoded)
    pushed = document.map(lambda value: _urlencoded({"AwinTransactionPush": orjson.dumps(value).decode()}))
    body = one_of(raw_json, raw_json, mutated(raw_json), pairs, mutated(pairs), pushed, st.just(b""))
    return st.builds(
        Postback,
        method=st.sampled_from(("GET", "POST")),
        query=one_of(st.just(b""), pairs, mutated(pairs)),
        content_type=st.sampled_from((JSON, JSON, FORM, f"{FORM.upper()}; charset=x", "", "text/plain", ";")),
        body=body,
        received_at=st.just(datetime(2026, 3, 1, tzinfo=UTC)),
    )


def events() -> st.SearchStrategy[bytes]:
    """For the signed door: events of our own shape, good ones among them, and anything else."""
    good = st.fixed_dictionaries(
        {
            "conversion_id": st.sampled_from(("sale-1", "sale-2", "sale-3", "sale-4")),
            "merchant": st.just(MERCHANT),
            "status": st.sampled_from(("pending", "pending", "approved", "approved", "reversed", "paid", "odd")),
            "order_amount_minor": st.sampled_from((100_000, 250_000, 250_001, 10**15)),
            "commission_minor": st.sampled_from((0, 1, 10_000)),
            "currency": st.just("PKR"),
            "occurred_at": st.sampled_from(
                ("2026-03-01T10:00:00Z", "2026-03-02T10:00:00+05:00", "2026-04-01T00:00:00Z")
            ),
        },
        optional={"rate_category": _TEXTS, "customer_type": st.sampled_from(("new", "existing", "unknown"))},
    )
    likely = {
        "merchant": st.sampled_from(("", "no-such-shop")),
        "order_amount_minor": st.sampled_from((0, 1, 10**15 + 1)),
        "commission_minor": st.sampled_from((0, 10**15)),
        "currency": st.sampled_from(("USD", "XXX")),
    }
    one_likely = st.builds(lambda event, odd: event | odd, good, st.fixed_dictionaries({}, optional=likely))
    one_odd = st.builds(
        lambda event, name, value: event | {name: value},
        good,
        st.sampled_from(EVENT_FIELDS),
        _VALUES,
    )
    whole = one_of(good, good, good, one_likely, one_odd, one_odd, documents(GOOD["generic"])).map(orjson.dumps)
    return one_of(whole, whole, whole, whole, mutated(whole))


def as_postbacks(raw: bytes) -> list[Postback]:
    """One text, in each way that it could come."""
    at = datetime(2026, 3, 1, tzinfo=UTC)
    sent = [Postback("POST", b"", content_type, raw, at) for content_type in (JSON, FORM)]
    pushed = urlencode({"AwinTransactionPush": raw}).encode()
    return [*sent, Postback("GET", raw, "", b"", at), Postback("POST", b"", FORM, pushed, at)]


def row_text(format: str) -> Callable[[dict[str, Any]], bytes]:
    """Of a row in a file: JSON, or its values with commas between."""
    if format == "jsonl":
        return orjson.dumps
    return lambda row: b",".join(str(value).encode("utf-8", "surrogatepass") for value in row.values())


def _urlencoded(fields: dict[str, Any]) -> bytes:
    texts = {name: value if isinstance(value, str) else orjson.dumps(value).decode() for name, value in fields.items()}
    return urlencode(texts, errors="surrogatepass").encode()
