"""The five shops: who they are, what they pay, and which kind of goods and file they have."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

FeedKind = Literal["google_rss", "google_atom", "google_tsv_gz", "awin_csv", "jsonl"]


@dataclass(frozen=True, slots=True)
class SampleRate:
    """What a customer gets of a sale: `percent_bps` hundredths of a percent or `fixed_minor`, at most `cap_minor`.

    Amounts in minor units of the shop's currency. An empty `rate_category` is the default rate.
    """

    rate_category: str
    customer_type: Literal["unknown", "new", "existing"]
    kind: Literal["percent", "fixed"]
    percent_bps: int | None = None
    fixed_minor: int | None = None
    cap_minor: int | None = None


@dataclass(frozen=True, slots=True)
class ShopProfile:
    """A shop without its feed. Hosts lie in reserved domains, so no click leads to a real one."""

    slug: str
    name: str
    description: str
    currency: str
    host: str
    network: str
    goods: str
    feed_kind: FeedKind
    feed_file: str
    offer_count: int
    rates: tuple[SampleRate, ...]
    column_mapping: Mapping[str, str]
    exclusions: str
    click_window_days: int
    tracking_days: int
    validation_days: int

    @property
    def deep_link_template(self) -> str:
        """With {link} and {click_id}."""
        return f"https://clicks.{self.network}.example/to?shop={self.slug}&url={{link}}&subid={{click_id}}"


@dataclass(frozen=True, slots=True)
class SampleShop:
    """A shop to be made as a merchant, and the feed that brings its offers.

    `column_mapping` is what the feed needs beside what its format says (target: source). `network` is a slug.
    """

    slug: str
    name: str
    description: str
    currency: str
    host: str
    network: str
    deep_link_template: str
    feed_path: Path
    feed_format: str
    column_mapping: Mapping[str, str]
    offer_count: int
    rates: tuple[SampleRate, ...]
    exclusions: str
    click_window_days: int
    tracking_days: int
    validation_days: int


def _rates(
    default_bps: int, capped: tuple[str, int, int], other: tuple[str, int], new_minor: int
) -> tuple[SampleRate, ...]:
    """A default, two categories (the first with a cap), and a fixed amount for a customer's first purchase."""
    category, bps, cap_minor = capped
    return (
        SampleRate("", "unknown", "percent", percent_bps=default_bps),
        SampleRate("", "new", "fixed", fixed_minor=new_minor),
        SampleRate(category, "unknown", "percent", percent_bps=bps, cap_minor=cap_minor),
        SampleRate(other[0], "unknown", "percent", percent_bps=other[1]),
    )


_LABEL: Final = {"rate_category": "custom_label_0"}

PROFILES: Final = (
    ShopProfile(
        slug="lahore-threads",
        name="Lahore Threads",
        description="Lawn, khaddar and ready-to-wear for the family, cut and stitched in Lahore.",
        currency="PKR",
        host="lahore-threads.example",
        network="barg-network",
        goods="clothing",
        feed_kind="google_rss",
        feed_file="lahore-threads.xml",
        offer_count=900,
        rates=_rates(500, ("unstitched", 900, 150_000), ("shoes", 350), 30_000),
        column_mapping=_LABEL,
        exclusions="Gift cards and delivery charges.",
        click_window_days=30,
        tracking_days=2,
        validation_days=30,
    ),
    ShopProfile(
        slug="saddar-circuits",
        name="Saddar Circuits",
        description="Phones, audio and the small parts that keep them going, with a year of warranty.",
        currency="PKR",
        host="saddar-circuits.example",
        network="barg-network",
        goods="electronics",
        feed_kind="google_atom",
        feed_file="saddar-circuits.atom.xml",
        offer_count=500,
        rates=_rates(150, ("phones", 50, 100_000), ("accessories", 600), 20_000),
        column_mapping=_LABEL,
        exclusions="Prepaid cards and repairs.",
        click_window_days=14,
        tracking_days=3,
        validation_days=21,
    ),
    ShopProfile(
        slug="multan-ghar",
        name="Multan Ghar",
        description="Blue pottery, bedding and kitchenware from workshops of the south of Punjab.",
        currency="PKR",
        host="multan-ghar.example",
        network="khaleej-partners",
        goods="home",
        feed_kind="awin_csv",
        feed_file="multan-ghar.csv",
        offer_count=600,
        rates=_rates(400, ("pottery", 1_000, 200_000), ("bedding", 650), 25_000),
        column_mapping={"rate_category": "custom_1"},
        exclusions="Made-to-order pieces.",
        click_window_days=30,
        tracking_days=5,
        validation_days=45,
    ),
    ShopProfile(
        slug="sabz-bazaar",
        name="Sabz Bazaar",
        description="Rice, spices, tea and dry fruit, packed the day they are ordered.",
        currency="PKR",
        host="sabz-bazaar.example",
        network="barg-network",
        goods="grocery",
        feed_kind="jsonl",
        feed_file="sabz-bazaar.jsonl",
        offer_count=620,
        rates=_rates(200, ("dry-fruit", 500, 50_000), ("spices", 350), 10_000),
        column_mapping={},
        exclusions="Fresh vegetables and meat.",
        click_window_days=7,
        tracking_days=1,
        validation_days=10,
    ),
    ShopProfile(
        slug="creek-oud",
        name="Creek & Oud",
        description="Perfume oils, bakhoor and gifts by the creek, delivered in the Emirates and Pakistan.",
        currency="AED",
        host="creek-oud.example",
        network="khaleej-partners",
        goods="perfume",
        feed_kind="google_tsv_gz",
        feed_file="creek-oud.tsv.gz",
        offer_count=400,
        rates=_rates(700, ("oud", 1_200, 10_000), ("gifts", 450), 1_500),
        column_mapping=_LABEL,
        exclusions="Gift wrapping and engraving.",
        click_window_days=30,
        tracking_days=4,
        validation_days=60,
    ),
)
