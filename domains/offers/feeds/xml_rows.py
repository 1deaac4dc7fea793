"""Google Merchant XML (RSS and Atom) and YML, read element by element.

Nothing outside the file is ever loaded, no entity is resolved, and a document that declares any is refused.
"""

import io
from collections.abc import Callable, Iterator
from typing import Any, Final

from lxml import etree

from domains.offers.feeds.errors import FeedError
from domains.offers.feeds.rows import RecordGuard, Row

_GOOGLE: Final = "http://base.google.com/ns/1.0"
_PARENTS: Final = {"item": ("channel", "rss", "RDF"), "entry": ("feed",)}
# Elements whose text may be marked up; others with elements in them (shipping, tax) are no single value.
_NESTED_TEXT: Final = frozenset({"description", "summary", "content", "title"})
_MAX_CATEGORIES: Final = 100_000
_MAX_CATEGORY_DEPTH: Final = 10
Values = dict[str, Any]


def google_rows(stream: io.BufferedReader, encoding: str | None) -> Iterator[Row]:
    """{element's local name: text, or texts where it is repeated}"""
    return _rows(stream, encoding, _GoogleReader().read)


def yml_rows(stream: io.BufferedReader, encoding: str | None) -> Iterator[Row]:
    """Elements and attributes of <offer>; `category` is the path of names, `param` a mapping."""
    return _rows(stream, encoding, _YMLReader().read)


def _rows(
    stream: io.BufferedReader, encoding: str | None, read: Callable[[etree._Element], Values | None]
) -> Iterator[Row]:
    guard = RecordGuard(stream.read)
    try:
        context = etree.iterparse(
            guard,
            events=("start", "end"),
            encoding=encoding,
            resolve_entities=False,
            no_network=True,
            load_dtd=False,
            dtd_validation=False,
            attribute_defaults=False,
            huge_tree=False,
            remove_comments=True,
            remove_pis=True,
        )
        checked = False
        for event, element in context:
            if not checked:
                _refuse_declarations(element)
                checked = True
            if event == "start":
                continue
            values = read(element)
            if values is not None:
                guard.row_done()
                line = element.sourceline or 0
                _forget(element)
                yield Row(line, values)
    except etree.XMLSyntaxError as error:
        raise FeedError("XML_MALFORMED", f"The XML is broken: {error.msg}. Correct the feed.", error.lineno) from error
    except (LookupError, UnicodeError) as error:
        raise FeedError("ENCODING_UNKNOWN", f"The XML's encoding cannot be read: {error}. Send UTF-8.") from error


def _refuse_declarations(root: etree._Element) -> None:
    """A DOCTYPE may name an external file, which is not loaded; it may not declare anything itself."""
    declared: Any = root.getroottree().docinfo.internalDTD
    if declared is not None and (any(declared.entities()) or any(declared.elements())):
        raise FeedError("XML_DECLARATIONS", "The XML declares entities or elements of its own. Send it without them.")


def _forget(element: etree._Element) -> None:
    element.clear()
    parent = element.getparent()
    if parent is not None:
        while (before := element.getprevious()) is not None:
            parent.remove(before)


def _name(element: etree._Element) -> tuple[str, str]:
    """(namespace, local name); empty for what is no element."""
    tag = element.tag
    if not isinstance(tag, str):
        return "", ""
    namespace, _, name = tag.rpartition("}")
    return namespace[1:], name


def _text(element: etree._Element) -> str:
    return "".join(part for part in element.itertext() if isinstance(part, str)).strip()


class _GoogleReader:
    def read(self, element: etree._Element) -> Values | None:
        _, name = _name(element)
        parents = _PARENTS.get(name)
        parent = element.getparent()
        if parents is None or parent is None or _name(parent)[1] not in parents:
            return None
        own: Values = {}
        google: Values = {}
        for child in element:
            namespace, name = _name(child)
            if len(child) and name not in _NESTED_TEXT:
                continue
            text = _text(child)
            if not text and name == "link" and child.get("rel", "alternate") == "alternate":
                text = str(child.get("href", ""))
            if text:
                _add(google if namespace == _GOOGLE else own, name, text)
        # Google's own elements count more than those of RSS and Atom that bear the same name.
        return own | google


class _YMLReader:
    def __init__(self) -> None:
        self._categories: dict[str, tuple[str, str]] = {}

    def read(self, element: etree._Element) -> Values | None:
        _, name = _name(element)
        if name == "category":
            if len(self._categories) < _MAX_CATEGORIES:
                key = str(element.get("id", ""))
                self._categories[key] = (_text(element), str(element.get("parentId", "")))
            return None
        if name != "offer":
            return None
        values: Values = {str(key): str(value) for key, value in element.attrib.items()}
        params: dict[str, str] = {}
        for child in element:
            _, name = _name(child)
            text = _text(child)
            if name == "param":
                params[str(child.get("name", ""))] = text
            elif text:
                _add(values, name, text)
        if params:
            values["param"] = params
        category = values.get("categoryId")
        if isinstance(category, str) and (path := self._path(category)):
            values["category"] = path
        if "name" not in values:
            parts = (values.get(part) for part in ("typePrefix", "vendor", "model"))
            values["name"] = " ".join(part for part in parts if isinstance(part, str))
        return values

    def _path(self, key: str) -> str:
        names: list[str] = []
        while key in self._categories and len(names) < _MAX_CATEGORY_DEPTH:
            name, key = self._categories[key]
            names.insert(0, name)
        return " > ".join(names)


def _add(values: Values, name: str, text: str) -> None:
    known = values.get(name)
    if known is None:
        values[name] = text
    elif isinstance(known, list):
        known.append(text)
    else:
        values[name] = [known, text]
