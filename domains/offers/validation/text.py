"""Cleaning of text: what cannot be seen goes, runs of blanks become one."""

import unicodedata
from typing import Final

MAX_TITLE_LENGTH: Final = 150
MAX_DESCRIPTION_LENGTH: Final = 5000

# Joiners have a meaning in Urdu, Persian and Indian scripts, and inside emoji.
_JOINERS: Final = "\u200c\u200d"
_INVISIBLE_CATEGORIES: Final = ("Cc", "Cf")


def clean(text: str) -> tuple[str, bool]:
    """(text without invisible characters and superfluous blanks, whether invisible characters were taken out).

    Line breaks and special blanks become plain blanks and do not count.
    """
    if text.isprintable():
        if "  " in text or text[:1] == " " or text[-1:] == " ":
            return " ".join(text.split()), False
        return text, False
    removed = False
    kept: list[str] = []
    for character in text:
        if character.isprintable() or character in _JOINERS:
            kept.append(character)
        elif character.isspace() and character not in "\x1c\x1d\x1e\x1f":
            kept.append(" ")
        elif unicodedata.category(character) in _INVISIBLE_CATEGORIES:
            removed = True
        else:
            # Characters newer than this Python's Unicode, and private ones.
            kept.append(character)
    return " ".join("".join(kept).split()), removed


def cut(text: str, length: int) -> str:
    """At most `length` characters, cut at a blank where one is near the end."""
    if len(text) <= length:
        return text
    head = text[: length - 1]
    blank = head.rfind(" ", length * 4 // 5)
    return (head[:blank] if blank > 0 else head).rstrip() + "…"
