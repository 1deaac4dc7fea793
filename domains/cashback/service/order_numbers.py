"""Order numbers as people write them: the same order is spelled in many ways."""

import re
import unicodedata

_DROPPED = re.compile(r"[\s#]+")


def plain(order_id: str) -> str:
    """Without what does not tell orders apart: case, blanks, “#”, and zeros in front."""
    bare = _DROPPED.sub("", unicodedata.normalize("NFKC", order_id)).casefold()
    return bare.lstrip("0") or bare[:1]


def spellings(order_id: str) -> set[str]:
    """How it is most likely to stand with others: to be looked up by an index."""
    bare = _DROPPED.sub("", unicodedata.normalize("NFKC", order_id))
    found = {order_id}
    for one in (order_id.strip(), bare, bare.lstrip("0")):
        found |= {one, one.lower(), one.upper(), f"#{one}"}
    return found - {"", "#"}
