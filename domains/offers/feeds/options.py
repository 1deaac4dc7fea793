"""What a feed does not say about itself."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Self

from domains.offers.feeds.errors import FeedError

FORMATS: Final = ("google_xml", "google_tsv", "google_csv", "awin_csv", "yml", "shopify_csv", "jsonl", "json", "csv")
MAX_EXPANDED_BYTES: Final = 2 * 1024**3
MAX_EXPANSION_RATIO: Final = 150
# Raise it when a file is read otherwise than before.
_READER_VERSION: Final = 2
_TEXT_OPTIONS: Final = ("encoding", "format", "delimiter", "default_availability", "link_base")


@dataclass(frozen=True, slots=True)
class FeedOptions:
    """`default_currency` counts for prices without a currency, `source_time` (aware) for rows without one.

    `column_mapping` ({target: source}, see mapping.py) comes before what the format says. `encoding` is for files
    that do not say theirs; `format` (one of FORMATS) and `delimiter` where the content does not tell.
    `default_availability` is taken where the feed has none; `link_base` is the shop's address, for Shopify exports.
    Compressed feeds may grow to `max_expanded_bytes`, and to `max_expansion_ratio` times their size.
    """

    default_currency: str
    source_time: datetime
    column_mapping: Mapping[str, str] | None = field(default=None)
    encoding: str | None = None
    format: str | None = None
    delimiter: str | None = None
    default_availability: str | None = None
    link_base: str | None = None
    max_expanded_bytes: int = MAX_EXPANDED_BYTES
    max_expansion_ratio: int = MAX_EXPANSION_RATIO

    def digest_with(self, file_sha256: str) -> bytes:
        """Tells whether a file, read with these options, gives the items that it gave before, but for their time.

        Empty where rows state times of their own.
        """
        if self.column_mapping is not None and "source_time" in self.column_mapping:
            return b""
        meaning = {name: getattr(self, name) for name in ("default_currency", "column_mapping", *_TEXT_OPTIONS)}
        text = json.dumps([_READER_VERSION, file_sha256, meaning], sort_keys=True, default=dict)
        return hashlib.sha256(text.encode()).digest()

    @classmethod
    def from_json(cls, options: Mapping[str, Any], *, source_time: datetime) -> Self:
        """Of stored settings: `default_currency`, `column_mapping` and the text options; other keys are ignored.

        Raises FeedError (OPTIONS_INVALID) for a value of the wrong type.
        """
        texts: dict[str, Any] = {name: options.get(name) for name in ("default_currency", *_TEXT_OPTIONS)}
        for name, value in texts.items():
            if value is not None and not isinstance(value, str):
                raise FeedError("OPTIONS_INVALID", f"The feed setting {name} must be text. Correct the settings.")
        mapping = options.get("column_mapping")
        if mapping is not None and not (
            isinstance(mapping, Mapping) and all(isinstance(part, str) for pair in mapping.items() for part in pair)
        ):
            raise FeedError("OPTIONS_INVALID", "The feed setting column_mapping must map texts to texts. Correct it.")
        currency = texts.pop("default_currency") or ""
        return cls(default_currency=currency, source_time=source_time, column_mapping=mapping, **texts)
