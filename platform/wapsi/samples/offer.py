"""One offer of a sample shop, before it is written in a feed's format."""

from dataclasses import dataclass

from wapsi.money import minor_digits


@dataclass(frozen=True, slots=True)
class SampleOffer:
    """Empty strings stand for what the offer does not have. Amounts in minor units."""

    offer_id: str
    title: str
    description: str
    link: str
    image_link: str
    additional_image_links: tuple[str, ...]
    price_minor: int
    sale_price_minor: int | None
    sale_has_dates: bool
    currency: str
    availability: str
    gtin: str
    mpn: str
    brand: str
    item_group_id: str
    google_product_category: str
    product_type: str
    color: str
    size: str
    gender: str
    rate_category: str

    def amount(self, amount_minor: int) -> str:
        """As a decimal number: 1299.00"""
        digits = minor_digits(self.currency)
        whole, rest = divmod(amount_minor, 10**digits)
        return f"{whole}.{rest:0{digits}d}" if digits else str(whole)
