"""How feeds write what has a fixed set of values, times and flags."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, TypeVar

from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb

_AVAILABILITIES: Final[dict[str, int]] = {
    "in_stock": pb.AVAILABILITY_IN_STOCK,
    "instock": pb.AVAILABILITY_IN_STOCK,
    "available": pb.AVAILABILITY_IN_STOCK,
    "true": pb.AVAILABILITY_IN_STOCK,
    "yes": pb.AVAILABILITY_IN_STOCK,
    "out_of_stock": pb.AVAILABILITY_OUT_OF_STOCK,
    "outofstock": pb.AVAILABILITY_OUT_OF_STOCK,
    "sold_out": pb.AVAILABILITY_OUT_OF_STOCK,
    "soldout": pb.AVAILABILITY_OUT_OF_STOCK,
    "unavailable": pb.AVAILABILITY_OUT_OF_STOCK,
    "discontinued": pb.AVAILABILITY_OUT_OF_STOCK,
    "false": pb.AVAILABILITY_OUT_OF_STOCK,
    "no": pb.AVAILABILITY_OUT_OF_STOCK,
    "preorder": pb.AVAILABILITY_PREORDER,
    "pre_order": pb.AVAILABILITY_PREORDER,
    "backorder": pb.AVAILABILITY_BACKORDER,
    "back_order": pb.AVAILABILITY_BACKORDER,
    "limited": pb.AVAILABILITY_LIMITED,
    "limited_availability": pb.AVAILABILITY_LIMITED,
}
CHOICES: Final[dict[str, dict[str, int]]] = {
    "availability": _AVAILABILITIES,
    "kind": {
        "product": pb.OFFER_KIND_PRODUCT,
        "coupon": pb.OFFER_KIND_COUPON,
        "voucher": pb.OFFER_KIND_COUPON,
        "deal": pb.OFFER_KIND_DEAL,
    },
    "condition": {
        "new": pb.CONDITION_NEW,
        "refurbished": pb.CONDITION_REFURBISHED,
        "used": pb.CONDITION_USED,
    },
    "gender": {
        "male": pb.GENDER_MALE,
        "men": pb.GENDER_MALE,
        "female": pb.GENDER_FEMALE,
        "women": pb.GENDER_FEMALE,
        "unisex": pb.GENDER_UNISEX,
    },
    "age_group": {
        "newborn": pb.AGE_GROUP_NEWBORN,
        "infant": pb.AGE_GROUP_INFANT,
        "toddler": pb.AGE_GROUP_TODDLER,
        "kids": pb.AGE_GROUP_KIDS,
        "adult": pb.AGE_GROUP_ADULT,
        "adults": pb.AGE_GROUP_ADULT,
    },
}
_FLAGS: Final = {
    **dict.fromkeys(("yes", "true", "1", "y", "t"), True),
    **dict.fromkeys(("no", "false", "0", "n", "f"), False),
}
_BETWEEN_LINKS: Final = re.compile(r",\s*(?=https?://)")
_MAX_KNOWN: Final = 1000
_MAX_KNOWN_LENGTH: Final = 500
T = TypeVar("T")


def remembered(read: Callable[[str], T]) -> Callable[[str], T]:
    """For what repeats from row to row: what `read` gave for short texts is kept, for a limited number of them."""
    known = lru_cache(maxsize=_MAX_KNOWN)(read)
    return lambda text: known(text) if len(text) <= _MAX_KNOWN_LENGTH else read(text)


def normal(text: str) -> str:
    """'In Stock', 'in-stock' and schema.org's addresses in the form of the tables above."""
    text = text.strip().lower()
    if text.startswith("http"):
        text = text.rpartition("/")[2]
    return text.replace(" ", "_").replace("-", "_")


def availability(text: str) -> int | None:
    """The enum's number for a word or for a number of pieces in stock; None for what means nothing."""
    known = _AVAILABILITIES.get(text)
    if known is not None:
        return known
    key = normal(text)
    if key.isascii() and key.isdigit():
        return pb.AVAILABILITY_IN_STOCK if key.strip("0") else pb.AVAILABILITY_OUT_OF_STOCK
    return _AVAILABILITIES.get(key)


def choice(field: str) -> Callable[[str], int | None]:
    """Of one of CHOICES: gives the enum's number for a word, None for one that means nothing."""
    names = CHOICES[field]
    return availability if field == "availability" else lambda text: names.get(normal(text))


def flag(text: str) -> bool | None:
    """None for what is neither yes nor no."""
    return _FLAGS.get(text.strip().lower())


def moment(text: str) -> datetime | None:
    """An ISO 8601 time as UTC; one without a zone is taken as UTC. None for anything else."""
    try:
        found = datetime.fromisoformat(text)
        return found.astimezone(UTC) if found.tzinfo is not None else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def split_links(text: str) -> list[str]:
    """Several addresses in one cell, between commas; a comma within an address is part of it."""
    return [link for part in _BETWEEN_LINKS.split(text) if (link := part.strip().strip(","))]
