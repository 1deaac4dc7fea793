"""The words of a query, as the documents have theirs: twins of the SQL functions search_words and search_fold.

Lower case; NFKC; Arabic letters in their Urdu forms, without vowel signs and tatweel, digits as 0 to 9; everything
between words is a space. `fold` brings the spellings of Roman Urdu together (kameez, qamiz): ee and i, oo and u, ay and
e, doubled letters and single ones, y and i, w and v, q and k.
"""

import re
import unicodedata

MAX_WORDS = 8
MAX_WORD = 250
_SIGNS = re.compile("[\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06ed]+")
_LETTERS = str.maketrans(
    "\u064a\u0649\u0643\u0647\u0629\u06c0\u06c3" + "".join(map(chr, [*range(0x660, 0x66A), *range(0x6F0, 0x6FA)])),
    "\u06cc\u06cc\u06a9\u06c1\u06c1\u06c1\u06c1" + "0123456789" * 2,
)
_BETWEEN = re.compile(
    "[\x00-\x1e\x20-\x2f\x3a-\x40\x5b-\x60\x7b-\xbf\xd7\xf7\u0600-\u060f\u061b-\u061f\u066a-\u066d\u06d4"
    "\u2000-\u206f\u2190-\u2bff\u3000-\u303f\ufe00-\ufe0f\uff00-\uff0f]+"
)
_FOLDINGS = (
    ("ee", "i"),
    ("oo", "u"),
    ("ay", "e"),
    ("ey", "e"),
    *((2 * letter, letter) for letter in "abcdfgijklmnprstuz"),
)
_FOLDED = str.maketrans("ywq", "ivk")


def lower(text: str) -> str:
    """As PostgreSQL's pg_c_utf8 does it: letter by letter, one for one."""
    return text.lower() if text.isascii() else "".join(letter.lower()[0] for letter in text)


def words_of(text: str) -> list[str]:
    """All of them, in order; longer ones than MAX_WORD in pieces."""
    if not text.isascii():
        text = _SIGNS.sub("", unicodedata.normalize("NFKC", text)).translate(_LETTERS)
    found = _BETWEEN.sub(" ", lower(text)).split(" ")
    return [word[start : start + MAX_WORD] for word in found for start in range(0, len(word), MAX_WORD)]


def fold(word: str) -> str:
    for spelling, one in _FOLDINGS:
        word = word.replace(spelling, one)
    return word.translate(_FOLDED)


def brand_key(brand: str) -> str:
    """What `offer_listings.brand` holds of a brand."""
    return lower(brand).strip(" ")[:250]


def category_key(path: str) -> str:
    """What `offer_listings.category` holds of a path."""
    return " > ".join(level.strip(" ") for level in lower(path).split(">")).strip(" ")[:500]
