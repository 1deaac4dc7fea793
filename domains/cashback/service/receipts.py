"""Rate receipts: what is promised at a click, signed, so that customer and platform can both prove it later.

A receipt has the form of a JWS (`typ` receipt+jwt, `aud` wapsi-receipt); its key is in the published key set. Those
that are made at the same time share a signature, see wapsi.security.trees; earlier ones have one each (EdDSA).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID

import orjson

from domains.merchants.service import (
    ClawbackTerms,
    ConfirmationTerms,
    CustomerType,
    MerchantRef,
    RaisedRate,
    Rate,
    RateKind,
    RateSchedule,
)
from domains.offers.service import OfferRef
from wapsi.clock import now
from wapsi.ids import id_of
from wapsi.security.signing import Keys, SignatureInvalid, payload_of

TYPE = "receipt+jwt"
AUDIENCE = "wapsi-receipt"
# Longer than any validation and any dispute about it.
LIFETIME = timedelta(days=5 * 365)
_LIFETIME_S = int(LIFETIME.total_seconds())
# The first claim of terms_of, with the comma before it.
_BEGIN_OF_TERMS = b',"iss":'
_REMEMBERED_TERMS = 2000


class ReceiptInvalid(Exception):
    """Not signed by us, or not a receipt."""


@dataclass(slots=True)
class Receipt:
    """What was promised. `offer_category` is None for a click on a merchant as a whole. `raised`: which of the
    schedule's rates a campaign has raised, and by how much.

    `eligible` is False where the offer earns nothing. The two dates are when the sale should appear and when the
    merchant should have decided. `confirmation` and `clawback` are the merchant's terms at the click.
    """

    click_id: UUID
    customer_id: UUID
    clicked_at: datetime
    merchant: str
    merchant_id: UUID
    offer_id: UUID | None
    offer_title: str | None
    offer_category: str | None
    eligible: bool
    currency: str
    schedule: RateSchedule
    click_window_days: int
    validation_days: int
    confirmation: ConfirmationTerms
    clawback: ClawbackTerms
    expected_tracking_at: datetime
    expected_confirmation_at: datetime
    raised: tuple[RaisedRate, ...] = ()


def promise(
    click_id: UUID,
    customer_id: UUID,
    clicked_at: datetime,
    merchant: MerchantRef,
    schedule: RateSchedule,
    offer: OfferRef | None,
    raised: tuple[RaisedRate, ...] = (),
) -> Receipt:
    tracking_at, confirmation_at = expected_at(clicked_at, merchant)
    return Receipt(
        click_id=click_id,
        customer_id=customer_id,
        clicked_at=clicked_at,
        merchant=merchant.slug,
        merchant_id=merchant.id,
        offer_id=None if offer is None else offer.id,
        offer_title=None if offer is None else offer.title,
        offer_category=None if offer is None else offer.rate_category,
        eligible=offer is None or offer.cashback_eligible,
        currency=merchant.currency,
        schedule=schedule,
        click_window_days=merchant.click_window_days,
        validation_days=merchant.validation_days,
        confirmation=merchant.confirmation,
        clawback=merchant.clawback,
        expected_tracking_at=tracking_at,
        expected_confirmation_at=confirmation_at,
        raised=raised,
    )


def sign(keys: Keys, issuer: str, receipt: Receipt) -> str:
    [token] = sign_together(keys, [claims_of(receipt, terms_of(issuer, receipt))])
    return token


def sign_together(keys: Keys, claims: Sequence[bytes]) -> list[str]:
    """With one signature, which each of the receipts proves to be its own."""
    return keys.sign_together(TYPE, claims)


def claims_of(receipt: Receipt, terms: bytes) -> bytes:
    """`terms` is what terms_of gives for this receipt, or another one of the same merchant and rates."""
    times = times_of(receipt.clicked_at, receipt.expected_tracking_at, receipt.expected_confirmation_at)
    offer = _offer_claims(receipt.offer_id, receipt.offer_title, receipt.offer_category, eligible=receipt.eligible)
    return joined_claims(receipt.click_id, receipt.customer_id, times, offer, terms)


def joined_claims(click_id: UUID, customer_id: UUID, times: bytes, offer: bytes, terms: bytes) -> bytes:
    """Of what times_of, offer_claims and terms_of give, which many clicks have in common."""
    # The driver's ids are of a class of its own, which orjson does not know.
    own = orjson.dumps({"sub": customer_id, "jti": click_id}, default=str)[:-1]
    return b"".join((own, b",", times, b",", offer, b",", terms, b"}"))


def times_of(clicked_at: datetime, tracking_at: datetime, confirmation_at: datetime) -> bytes:
    """The claims of a moment: JSON without its braces."""
    issued_s = int(clicked_at.timestamp())
    claims = {
        "iat": issued_s,
        "exp": issued_s + _LIFETIME_S,
        "clicked_at": clicked_at,
        "expected_tracking_at": tracking_at,
        "expected_confirmation_at": confirmation_at,
    }
    return orjson.dumps(claims)[1:-1]


def offer_claims(offer: OfferRef | None) -> bytes:
    """None is a click on the merchant as a whole. JSON without its braces."""
    if offer is None:
        return _NO_OFFER
    return _offer_claims(offer.id, offer.title, offer.rate_category, eligible=offer.cashback_eligible)


def _offer_claims(id: UUID | None, title: str | None, category: str | None, *, eligible: bool) -> bytes:
    claims = {"offer_id": id, "offer_title": title, "offer_category": category, "eligible": eligible}
    return orjson.dumps(claims, default=str)[1:-1]


_NO_OFFER = _offer_claims(None, None, None, eligible=True)


def expected_at(clicked_at: datetime, merchant: MerchantRef) -> tuple[datetime, datetime]:
    """When the sale should have appeared, and when it should be confirmed."""
    tracking_at = clicked_at + timedelta(days=merchant.tracking_days)
    return tracking_at, tracking_at + timedelta(days=merchant.validation_days)


def terms_of(issuer: str, receipt: Receipt) -> bytes:
    """The claims that are alike while a merchant and its rates stay as they are: JSON without its braces."""
    schedule = receipt.schedule
    claims = {
        "iss": issuer,
        "aud": AUDIENCE,
        "merchant": receipt.merchant,
        "merchant_id": str(receipt.merchant_id),
        "currency": receipt.currency,
        "rate_version": schedule.version,
        "rates_valid_from": schedule.valid_from,
        "rates": [_rate_claim(rate) for rate in schedule.rates],
        "exclusions": schedule.exclusions,
        "terms": schedule.terms,
        "click_window_days": receipt.click_window_days,
        "validation_days": receipt.validation_days,
        "confirmation": receipt.confirmation,
        "clawback": receipt.clawback,
    }
    if receipt.raised:
        claims["raised_rates"] = [asdict(rate) for rate in receipt.raised]
    return orjson.dumps(claims)[1:-1]


def mac(keys: Keys, token: str) -> bytes:
    """To be kept beside the receipt, and given to `read`."""
    return keys.mac(TYPE, token.encode())


def read(keys: Keys, token: str, mac: bytes | None = None) -> Receipt:
    """Raises ReceiptInvalid. The issuer may be an address that the platform had before.

    With a MAC of ours the signature need not be looked at, which takes much longer.
    """
    try:
        if mac is not None and keys.is_mac(TYPE, token.encode(), mac):
            own, terms = _split(payload_of(token))
            if own["exp"] <= now().timestamp():
                raise ReceiptInvalid("Signature has expired")
            return _receipt(own, terms)
        claims = keys.read(TYPE, token, audience=AUDIENCE)
        return _receipt(claims, _terms(claims))
    except (SignatureInvalid, KeyError, ValueError) as error:
        raise ReceiptInvalid(str(error)) from None


@dataclass(frozen=True, slots=True)
class _Terms:
    """What terms_of has written."""

    merchant: str
    currency: str
    schedule: RateSchedule
    click_window_days: int
    validation_days: int
    confirmation: ConfirmationTerms
    clawback: ClawbackTerms
    raised: tuple[RaisedRate, ...]


def _split(payload: bytes) -> tuple[dict[str, Any], _Terms]:
    """What is the click's own, and the terms, which are alike for thousands of clicks.

    In JSON no text has a quotation mark inside, so that the first claim of the terms is found by its name.
    """
    own, found, terms = payload.partition(_BEGIN_OF_TERMS)
    if not found:
        claims = orjson.loads(payload)
        return claims, _terms(claims)
    return orjson.loads(own + b"}"), _known_terms(terms)


@lru_cache(_REMEMBERED_TERMS)
def _known_terms(text: bytes) -> _Terms:
    """From what follows the comma before the terms."""
    return _terms(orjson.loads(b"{" + _BEGIN_OF_TERMS[1:] + text))


def _terms(claims: dict[str, Any]) -> _Terms:
    return _Terms(
        merchant=claims["merchant"],
        currency=claims["currency"],
        schedule=RateSchedule(
            merchant_id=UUID(claims["merchant_id"]),
            version=claims["rate_version"],
            valid_from=_moment(claims["rates_valid_from"]),
            valid_until=None,
            rates=tuple(_rate(claim) for claim in claims["rates"]),
            exclusions=claims["exclusions"],
            terms=claims["terms"],
        ),
        click_window_days=claims["click_window_days"],
        validation_days=claims["validation_days"],
        # Those from before there was a choice do not name it.
        confirmation=ConfirmationTerms(claims.get("confirmation", ConfirmationTerms.ON_APPROVAL)),
        clawback=ClawbackTerms(claims.get("clawback", ClawbackTerms.OWED)),
        raised=tuple(
            RaisedRate(**{**claim, "customer_type": CustomerType(claim["customer_type"])})
            for claim in claims.get("raised_rates", ())
        ),
    )


def _receipt(own: dict[str, Any], terms: _Terms) -> Receipt:
    return Receipt(
        click_id=id_of(own["jti"]),
        customer_id=id_of(own["sub"]),
        clicked_at=_moment(own["clicked_at"]),
        merchant=terms.merchant,
        merchant_id=terms.schedule.merchant_id,
        offer_id=None if own["offer_id"] is None else UUID(own["offer_id"]),
        offer_title=own["offer_title"],
        offer_category=own["offer_category"],
        eligible=own["eligible"],
        currency=terms.currency,
        schedule=terms.schedule,
        click_window_days=terms.click_window_days,
        validation_days=terms.validation_days,
        confirmation=terms.confirmation,
        clawback=terms.clawback,
        raised=terms.raised,
        expected_tracking_at=_moment(own["expected_tracking_at"]),
        expected_confirmation_at=_moment(own["expected_confirmation_at"]),
    )


def _rate_claim(rate: Rate) -> dict[str, Any]:
    return {
        "rate_category": rate.rate_category,
        "customer_type": str(rate.customer_type),
        "kind": str(rate.kind),
        "percent_bps": rate.percent_bps,
        "fixed_minor": rate.fixed_minor,
        "currency": rate.currency,
        "cap_minor": rate.cap_minor,
    }


def _rate(claim: dict[str, Any]) -> Rate:
    return Rate(
        rate_category=claim["rate_category"],
        customer_type=CustomerType(claim["customer_type"]),
        kind=RateKind(claim["kind"]),
        percent_bps=claim["percent_bps"],
        fixed_minor=claim["fixed_minor"],
        currency=claim["currency"],
        cap_minor=claim["cap_minor"],
    )


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo is UTC else moment.astimezone(UTC)
