"""Markup in titles and descriptions: out of it comes the text that a browser would show."""

import html
import re
from typing import Final

from lxml import etree
from lxml import html as lxml_html

_BLOCK_ENDS: Final = re.compile(
    r"<(?=/?(?:p|br|div|li|ul|ol|tr|td|th|h[1-6]|table|section|article|hr)\b)", re.IGNORECASE
)
_TAG: Final = re.compile(r"</?[a-zA-Z][^<>]*>|<!--")
# What no XML parser takes.
_FORBIDDEN: Final = re.compile("[\x01-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def plain_text(text: str) -> str:
    """Without tags, scripts and entities; NUL characters stay, to be refused by validation."""
    if "<" in text and _TAG.search(text) and "\0" not in text:
        text = _without_tags(text)
    elif "&" in text:
        text = html.unescape(text)
    return text


def _without_tags(text: str) -> str:
    spaced = _BLOCK_ENDS.sub(" <", _FORBIDDEN.sub("", text))
    try:
        root = lxml_html.fragment_fromstring(spaced, create_parent="div")
    except (etree.ParserError, etree.XMLSyntaxError, ValueError):
        return html.unescape(_TAG.sub(" ", text))
    for element in list(root.iter("script", "style", etree.Comment)):
        element.drop_tree()
    return str(root.text_content())
