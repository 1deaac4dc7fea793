"""The prices of a row, which only make sense together: currency, price, sale price, price before a reduction."""

from dataclasses import dataclass

from domains.offers.feeds.rows import NumberText
from domains.offers.validation.issues import error, warning
from wapsi.money import MINOR_DIGITS, Money, PriceProblem, parse_price
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb

# Withdrawn codes that feeds still carry for their successors of the same value.
_RENAMED = {"RUR": "RUB"}


@dataclass(slots=True)
class Prices:
    """As the row writes them, empty where it has none. `regular_price` is what `price` was before a reduction."""

    default_currency: str
    currency: str = ""
    price: str = ""
    sale_price: str = ""
    regular_price: str = ""

    def put(self, item: pb.OfferItem) -> None:
        """Sets the offer's price and sale price. A price that cannot be read is an error, a sale price a warning."""
        if not self.price.strip():
            return
        currency = self.currency.strip().upper()
        currency = _RENAMED.get(currency, currency)
        if currency and currency not in MINOR_DIGITS:
            message = "It is no ISO 4217 currency code. Send one such as PKR."
            item.issues.append(error("CURRENCY_UNKNOWN", "currency", message, self.currency))
            return
        price = self._parse(self.price, currency)
        if isinstance(price, PriceProblem):
            item.issues.append(error(price.code, "price", price.message, self.price))
            return
        if currency and price.currency != currency:
            message = f"The price says {price.currency}, the row's currency is {currency}. Send the right one."
            item.issues.append(error("CURRENCY_CONFLICT", "price", message, self.price))
            return
        sale = self._sale(item, currency)
        if sale is None and self.regular_price.strip():
            regular = self._parse(self.regular_price, currency)
            if isinstance(regular, PriceProblem):
                message = f"{regular.message} It was left out."
                item.issues.append(warning(regular.code, "regular_price", message, self.regular_price))
            elif regular.currency == price.currency and regular.amount_minor > price.amount_minor:
                price, sale = regular, price
        _set(item.offer.price, price)
        if sale is not None:
            _set(item.offer.sale_price, sale)

    def _sale(self, item: pb.OfferItem, currency: str) -> Money | None:
        if not self.sale_price.strip():
            return None
        sale = self._parse(self.sale_price, currency)
        if isinstance(sale, PriceProblem):
            message = f"{sale.message} It was left out."
            item.issues.append(warning(sale.code, "sale_price", message, self.sale_price))
            return None
        return sale

    def _parse(self, text: str, currency: str) -> Money | PriceProblem:
        return parse_price(text, currency or self.default_currency or None, plain=isinstance(text, NumberText))


def _set(target: pb.Money, money: Money) -> None:
    target.amount_minor = money.amount_minor
    target.currency = money.currency
