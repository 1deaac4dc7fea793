"""The rules of docs/ingestion.md for one item of a sync, applied to everything that is pushed.

A required field that is wrong drops the row (ERROR). An optional one is repaired or left out, and the row is kept
(WARNING). Nothing here raises for what an item contains.
"""

from domains.offers.validation.item import validate_item
from domains.offers.validation.rules import FUTURE_TOLERANCE, ValidatedOffer, ValidationRules

__all__ = ["FUTURE_TOLERANCE", "ValidatedOffer", "ValidationRules", "validate_item"]
