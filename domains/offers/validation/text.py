"""Cleaning of text: what cannot be seen goes, runs of blanks become one."""

import unicodedata
from typing import Final

MAX_TITLE_LENGTH: Final = 150
MAX_DESCRIPTION_LENGTH: Final = 5000

# Joiners have a meaning in Urdu, Persian and Indian scripts, and inside emoji.
_ZWNJ: Final = "\u200c"
_ZWJ: Final = "\u200d"
# Control characters that Python counts as blanks.
_SEPARATORS: Final = "\x1c\x1d\x1e\x1f"
_INVISIBLE_CATEGORIES: Final = ("Cc", "Cf")


def is_clean(text: str) -> bool:
    """Whether all of it can be seen and no blank is superfluous: clean() gives such a text back as it is."""
    return text.isprintable() and "  " not in text and text.strip() == text


def is_visible(text: str) -> bool:
    """Whether it has no control and formatting characters, and no blank but the plain one."""
    return text.isprintable() or text.replace(_ZWNJ, "").replace(_ZWJ, "").isprintable()


def clean(text: str) -> tuple[str, bool]:
    """(text without invisible characters and superfluous blanks, whether invisible characters were taken out).

    Line breaks and special blanks become plain blanks and do not count.
    """
    if is_clean(text):
        return text, False
    collapsed = " ".join(text.split())
    if is_visible(collapsed) and not any(separator in text for separator in _SEPARATORS):
        return collapsed, False
    invisible = [character for character in set(text) if _is_invisible(character)]
    for character in invisible:
        text = text.replace(character, "")
    return " ".join(text.split()), bool(invisible)


def _is_invisible(character: str) -> bool:
    """Characters that are private, or newer than this Python's Unicode, are not counted: a reader may see them."""
    if is_visible(character) or (character.isspace() and character not in _SEPARATORS):
        return False
    return unicodedata.category(character) in _INVISIBLE_CATEGORIES


def cut(text: str, length: int) -> str:
    """At most `length` characters, cut at a blank where one is near the end."""
    if len(text) <= length:
        return text
    head = text[: length - 1]
    blank = head.rfind(" ", length * 4 // 5)
    return (head[:blank] if blank > 0 else head).rstrip() + "…"
