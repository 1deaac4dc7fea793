"""Markup in titles and descriptions: out of it comes the text that a browser would show."""

import html
import re
from typing import Final

_BLOCKS: Final = "p|br|div|li|ul|ol|tr|td|th|h[1-6]|table|section|article|hr"
_BLOCK_ENDS: Final = re.compile(rf"<(?=/?(?:{_BLOCKS})\b)", re.IGNORECASE)
_TAG: Final = re.compile(r"</?[a-zA-Z][^<>]*>|<!--")
_PAGE: Final = re.compile(r"\s*<(?:html|!doctype)", re.IGNORECASE)
# What no XML parser takes: bytes, and the two characters in UTF-8.
_FORBIDDEN: Final = bytes([*range(1, 9), 11, 12, *range(14, 32)])
_FORBIDDEN_CHARACTERS: Final = (b"\xef\xbf\xbe", b"\xef\xbf\xbf")
# Whole tags of elements that say nothing about their text but how it looks: what is left when they are gone is what
# a parser finds, but for blanks. Possessive, so that the time for what is no tag does not grow with its square.
_ATTRIBUTES: Final = r"""(?:\s++[\w:-]++(?:=(?:"[^"<>]*+"|'[^'<>]*+'|[\w.:/#%-]++))?+)*+\s*+/?>"""
_SIMPLE_BLOCK: Final = re.compile(rf"</?(?:p|br|div|li|ul|ol|h[1-6]|section|article){_ATTRIBUTES}", re.IGNORECASE)
_SIMPLE_INLINE: Final = re.compile(rf"</?(?:b|i|u|em|strong|span|small|font|a|img){_ATTRIBUTES}", re.IGNORECASE)
# All but 32 to 99 and 160 to 9999: of characters that do not exist Python makes something else than a parser.
_ODD_REFERENCE: Final = re.compile(r"&#(?!(?:3[2-9]|[4-9][0-9]|1[6-9][0-9]|[2-9][0-9]{2}|[1-9][0-9]{3});)")
# Blanks for Python, and nothing for a parser.
_ODD_BLANKS: Final = "\x0b\x0c\x1c\x1d\x1e\x1f"


def plain_text(text: str) -> str:
    """Without tags, scripts and entities; NUL characters stay, to be refused by validation."""
    if "<" in text and _TAG.search(text) and "\0" not in text:
        text = _parsed(text)
    elif "&" in text:
        text = html.unescape(text)
    return text


def readable_text(text: str) -> str:
    """The same for a text in which runs of blanks do not count, and in less time where the markup is simple."""
    if "<" not in text:
        return html.unescape(text) if "&" in text else text
    bare = _SIMPLE_INLINE.sub("", _SIMPLE_BLOCK.sub(" ", text))
    if "<" not in bare and not ("&#" in bare and _ODD_REFERENCE.search(bare)):
        bare = html.unescape(bare)
        if not any(blank in bare for blank in _ODD_BLANKS):
            bare = " ".join(bare.split())
            if bare.isprintable():
                return bare
    return plain_text(text)


def _parsed(text: str) -> str:
    # Imported here, as few feeds need it and their producers start in less time without.
    from lxml import etree

    spaced = _BLOCK_ENDS.sub(" <", text)
    page = spaced if _PAGE.match(spaced) else f"<html><body>{spaced}</body></html>"
    try:
        data = page.encode().translate(None, _FORBIDDEN)
        for character in _FORBIDDEN_CHARACTERS:
            data = data.replace(character, b"")
        root = etree.fromstring(data, etree.HTMLParser(encoding="utf-8", remove_comments=True))
    except (etree.XMLSyntaxError, ValueError):
        return html.unescape(_TAG.sub(" ", text))
    etree.strip_elements(root, "script", "style", with_tail=False)
    body = root.find("body")
    if body is None:
        body = root
    if body.text is not None and body.text.isspace():
        body.text = None
    return str(etree.tostring(body, encoding="unicode", method="text", with_tail=False))
