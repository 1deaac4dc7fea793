"""From a seed to the feed files: everything is drawn from one seeded generator a shop, nothing from the clock."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from wapsi.money import minor_digits
from wapsi.samples import writers
from wapsi.samples.goods import RANGES, Kind, Range
from wapsi.samples.offer import SampleOffer
from wapsi.samples.shops import PROFILES, SampleShop, ShopProfile

DEFAULT_SEED: Final = 1947
DEFAULT_AS_OF: Final = datetime(2026, 1, 1, tzinfo=UTC)
_URDU_SHARE: Final = 0.2
_SALE_SHARE: Final = 0.25
_AVAILABILITIES: Final = ("in_stock", "out_of_stock", "preorder", "backorder")
_AVAILABILITY_WEIGHTS: Final = (88, 8, 2, 2)


def generate(out_dir: Path, seed: int = DEFAULT_SEED, as_of: datetime = DEFAULT_AS_OF) -> list[SampleShop]:
    """Writes one feed a shop into `out_dir` and describes the shops. The same arguments give the same bytes.

    `as_of` (aware) is the moment that the feeds describe: the JSON Lines state it as source_time, and the intervals
    of sales lie around it.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    return [_generate_shop(profile, out_dir, seed, as_of) for profile in PROFILES]


def _generate_shop(profile: ShopProfile, out_dir: Path, seed: int, as_of: datetime) -> SampleShop:
    path = out_dir / profile.feed_file
    # A string as seed is hashed by the generator itself, the same in every process.
    offers = list(_offers(profile, random.Random(f"{seed}:{profile.slug}")))  # noqa: S311  # sample data
    feed_format = writers.write(profile, offers, path, as_of)
    return SampleShop(
        slug=profile.slug,
        name=profile.name,
        description=profile.description,
        currency=profile.currency,
        host=profile.host,
        network=profile.network,
        deep_link_template=profile.deep_link_template,
        feed_path=path,
        feed_format=feed_format,
        column_mapping=profile.column_mapping,
        offer_count=len(offers),
        rates=profile.rates,
        exclusions=profile.exclusions,
        click_window_days=profile.click_window_days,
        tracking_days=profile.tracking_days,
        validation_days=profile.validation_days,
    )


@dataclass(frozen=True, slots=True)
class _Draft:
    """A product before its variants."""

    number: int
    kind: Kind
    brand: str
    quality: tuple[str, str]
    color: tuple[str, str]
    in_urdu: bool

    @property
    def title(self) -> str:
        if self.in_urdu:
            return " ".join(part for part in (self.quality[1], self.kind.urdu, self.color[1]) if part)
        name = f"{self.brand} {self.quality[0]} {self.kind.english}"
        return f"{name}, {self.color[0]}" if self.color[0] else name


def _offers(profile: ShopProfile, draw: random.Random) -> Iterator[SampleOffer]:
    goods = RANGES[profile.goods]
    made = number = 0
    while made < profile.offer_count:
        number += 1
        draft = _draft(goods, number, draw)
        sizes = draft.kind.sizes[: profile.offer_count - made] or ("",)
        for variant in _variants(profile, goods, draft, sizes, draw):
            yield variant
            made += 1


def _draft(goods: Range, number: int, draw: random.Random) -> _Draft:
    return _Draft(
        number=number,
        kind=draw.choice(goods.kinds),
        brand=draw.choice(goods.brands),
        quality=draw.choice(goods.qualities),
        color=draw.choice(goods.colors),
        in_urdu=draw.random() < _URDU_SHARE,
    )


def _variants(
    profile: ShopProfile, goods: Range, draft: _Draft, sizes: tuple[str, ...], draw: random.Random
) -> Iterator[SampleOffer]:
    prefix = "".join(word[0] for word in profile.slug.split("-")).upper()
    model = f"{prefix}-{draft.number:05d}"
    price_minor = _price_minor(profile.currency, draft.kind, draw)
    on_sale = draw.random() < _SALE_SHARE
    share = draw.choice((10, 15, 20, 30, 50))
    pictures = draw.randint(0, 3)
    page = f"https://{profile.host}/products/{model.lower()}"
    for size in sizes:
        yield SampleOffer(
            offer_id=f"{model}-{size}" if size else model,
            title=f"{draft.title} ({size})" if size else draft.title,
            description=f"{draft.quality[0]} {draft.kind.english.lower()} by {draft.brand}. {goods.sentence}",
            link=f"{page}?size={size}" if size else page,
            image_link=f"https://images.{profile.host}/{model.lower()}/1.jpg",
            additional_image_links=tuple(
                f"https://images.{profile.host}/{model.lower()}/{picture + 2}.jpg" for picture in range(pictures)
            ),
            price_minor=price_minor,
            sale_price_minor=price_minor * (100 - share) // 100 if on_sale else None,
            sale_has_dates=on_sale and share >= 30,
            currency=profile.currency,
            availability=draw.choices(_AVAILABILITIES, _AVAILABILITY_WEIGHTS)[0],
            gtin=_gtin13(draw),
            mpn=model,
            brand=draft.brand,
            item_group_id=model if size else "",
            google_product_category=draft.kind.google_category,
            product_type=draft.kind.product_type,
            color=draft.color[0],
            size=size,
            gender=draft.kind.gender,
            rate_category=draft.kind.rate_category,
        )


def _price_minor(currency: str, kind: Kind, draw: random.Random) -> int:
    """Ends as prices in shops do: 1,299 or 1,250."""
    price = draw.randint(kind.price_from, kind.price_to)
    if price > 300:
        price = price // 50 * 50 - draw.choice((0, 1))
    amount_minor: int = price * 10 ** minor_digits(currency)
    return amount_minor


def _gtin13(draw: random.Random) -> str:
    """In the range that GS1 leaves to shops, so it is nobody's product."""
    body = f"20{draw.randrange(10**10):010d}"
    total = sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(body))
    return f"{body}{-total % 10}"
