"""Secrets and personal data that can be recognised wherever they turn up, and where they are looked for."""

import base64
import logging
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import quote

import httpx2
import structlog


class Lines(logging.Handler):
    """Keeps what a handler writes, as it would stand on standard error."""

    def __init__(self, formatter: logging.Formatter | None) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


def listen() -> Lines:
    """In the place of standard error, once configure_logs has been called; at every level."""
    root = logging.getLogger()
    [handler] = [one for one in root.handlers if getattr(one, "stream", None) is sys.stderr]
    lines = Lines(handler.formatter)
    root.handlers = [lines]
    root.setLevel(logging.DEBUG)
    return lines


def forget_logging(handlers: list[logging.Handler], level: int) -> None:
    """As it was before: logging is the process's."""
    structlog.reset_defaults()
    logging.getLogger().handlers = handlers
    logging.getLogger().setLevel(level)


@dataclass
class Canaries:
    """{what: text}; `note` adds those that are made on the way, such as tokens."""

    texts: dict[str, str] = field(default_factory=dict)

    def note(self, what: str, text: str) -> str:
        assert len(text) >= 6, f"{what} is too short to be recognised"
        self.texts[what] = text
        return text

    def in_text(self, text: str) -> set[str]:
        """Those that occur, also as URLs, base64 and PostgreSQL's bytea write them."""
        low = text.lower()
        return {what for what, canary in self.texts.items() if any(_occurs(form, low) for form in _forms(canary))}

    def in_answers(self, answers: Iterable[httpx2.Response]) -> set[tuple[str, int, str]]:
        return {
            (what, answer.status_code, answer.request.url.path)
            for answer in answers
            for what in self.in_text(answer.text)
        }


def _forms(canary: str) -> set[str]:
    raw = canary.encode()
    forms = {canary, quote(canary, safe=""), raw.hex(), base64.b64encode(raw).decode().rstrip("=")}
    return {form.lower() for form in forms}


def _occurs(form: str, text: str) -> bool:
    """A code of digits is also a part of many an id and of a time: it counts where it stands alone."""
    if len(form) > 8:
        return form in text
    return re.search(rf"(?<![0-9a-f.]){re.escape(form)}(?![0-9a-f])", text) is not None
