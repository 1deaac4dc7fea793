"""Items with one thing changed, and what validation makes of them."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from domains.offers.validation import ValidatedOffer, ValidationRules, validate_item
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
RULES = ValidationRules(default_currency="PKR", allowed_landing_hosts=("shop.example",), now=NOW)
Change = Callable[[pb.Offer], object]


def make_item(change: Change | None = None) -> pb.OfferItem:
    item = pb.OfferItem(line=7)
    item.source_time.FromDatetime(NOW - timedelta(hours=1))
    offer = item.offer
    offer.offer_id = "A-1"
    offer.title = "Lawn Kurta"
    offer.link = "https://shop.example/a-1"
    offer.price.amount_minor = 129_900
    offer.price.currency = "PKR"
    offer.availability = pb.AVAILABILITY_IN_STOCK
    if change is not None:
        change(offer)
    return item


def accepted(change: Change | None = None, rules: ValidationRules = RULES) -> tuple[ValidatedOffer, list[str]]:
    """(the offer, codes of its warnings)"""
    offer, issues = validate_item(make_item(change), rules)
    assert offer is not None, issues
    assert all(issue.severity == pb.SEVERITY_WARNING for issue in issues)
    return offer, [issue.code for issue in issues]


def refused(change: Change, rules: ValidationRules = RULES) -> list[str]:
    """Codes of the errors."""
    return refused_item(make_item(change), rules)


def refused_item(item: pb.OfferItem, rules: ValidationRules = RULES) -> list[str]:
    offer, issues = validate_item(item, rules)
    assert offer is None
    for issue in issues:
        assert issue.code == issue.code.upper()
        assert issue.message.endswith(".")
        assert len(issue.value) <= 80
    return [issue.code for issue in issues if issue.severity == pb.SEVERITY_ERROR]


def setting(field: str, value: object) -> Change:
    def change(offer: pb.Offer) -> None:
        setattr(offer, field, value)

    change.__name__ = f"{field}={str(value)[:9]!r}"
    return change


def adding_gtin(gtin: str) -> Change:
    def change(offer: pb.Offer) -> None:
        offer.gtins.append(gtin)

    change.__name__ = f"gtin {gtin}"
    return change
