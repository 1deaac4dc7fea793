"""Passwords that are tried first, because many people have them: out of leaks, and the usual disguises of those.

The list is that of zxcvbn (MIT): the 30,000 most frequent ones of known leaks. Nothing is asked over a network.
"""

import re
from functools import lru_cache

# What people write for a letter.
_DISGUISE = str.maketrans({"0": "o", "1": "i", "3": "e", "4": "a", "5": "s", "7": "t", "@": "a", "$": "s", "!": "i"})
_ROWS = (
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890123456789",
    "qwertyuiopasdfghjklzxcvbnm",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik,9ol.",
)
_REPEATED = re.compile(r"(.+?)\1+", re.DOTALL)
# "summer2024!!" is "summer"; more than so many characters around a word are somebody's own.
_AROUND_MAX = 6
_WORD_MIN = 4
# A unit so short, however often, is no secret.
_UNIT_MAX = 4


@lru_cache(maxsize=1)
def _leaked() -> frozenset[str]:
    # Imported when first needed: reading it takes a tenth of a second, and most processes never do.
    from zxcvbn.frequency_lists import FREQUENCY_LISTS

    return frozenset(FREQUENCY_LISTS["passwords"])


def is_common(password: str) -> bool:
    """Whether a guesser would have it within some millions of attempts. Reads a file when first called."""
    text = password.casefold()
    if text in _leaked() or any(text in row or text[::-1] in row for row in _ROWS):
        return True
    repeated = _REPEATED.fullmatch(text)
    if repeated is not None and (len(repeated[1]) <= _UNIT_MAX or is_common(repeated[1])):
        return True
    return any(_is_word(text, core) for core in {_core(text), _core(text).translate(_DISGUISE), _core(_plain(text))})


def without_words(password: str, words: tuple[str, ...]) -> str:
    """The letters that are left when these words, also disguised, are taken out."""
    text = _plain(password.casefold())
    for word in sorted((_plain(word.casefold()) for word in words), key=len, reverse=True):
        text = text.replace(word, "")
    return "".join(character for character in text if character.isalpha())


def _plain(text: str) -> str:
    return text.translate(_DISGUISE)


def _core(text: str) -> str:
    """Without the digits and signs at its ends."""
    return re.sub(r"^[\W\d_]+|[\W\d_]+$", "", text)


def _is_word(text: str, core: str) -> bool:
    return len(core) >= _WORD_MIN and len(text) - len(core) <= _AROUND_MAX and core in _leaked()
