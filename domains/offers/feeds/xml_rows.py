"""Google Merchant XML (RSS and Atom) and YML, read element by element.

Nothing outside the file is ever loaded, and a document that declares entities is refused. Those that it uses without
declaring them, below a DOCTYPE that names a file, are HTML's.
"""

import html
import io
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Final

from lxml import etree

from domains.offers.feeds.errors import FeedError
from domains.offers.feeds.rows import RecordGuard, Row

_GOOGLE: Final = "http://base.google.com/ns/1.0"
_ROOTS: Final = ("{*}rss", "{*}feed", "{*}RDF", "{*}yml_catalog")
_PARENTS: Final = {"item": ("channel", "rss", "RDF"), "entry": ("feed",)}
# Elements whose text may be marked up; others with elements in them (shipping, tax) are no single value.
_NESTED_TEXT: Final = frozenset({"description", "summary", "content", "title"})
_MAX_CATEGORIES: Final = 100_000
_MAX_CATEGORY_CHARACTERS: Final = 5_000_000
_MAX_CATEGORY_DEPTH: Final = 10
_MAX_KNOWN_TAGS: Final = 500
_BYTES_BETWEEN_CLEANINGS: Final = 1024**2
Values = dict[str, Any]
# Given for an element that was taken in, but is no row.
_NO_ROW: Final[Values] = {}


def google_rows(stream: io.BufferedReader, encoding: str | None) -> Iterator[Row]:
    """{element's local name: text, or texts where it is repeated}"""
    return _rows(stream, encoding, ("{*}item", "{*}entry"), _GoogleReader().read)


def yml_rows(stream: io.BufferedReader, encoding: str | None) -> Iterator[Row]:
    """Elements and attributes of <offer>; `category` is the path of names, `param` a mapping."""
    return _rows(stream, encoding, ("{*}offer", "{*}category"), _YMLReader().read)


def _rows(
    stream: io.BufferedReader,
    encoding: str | None,
    tags: tuple[str, ...],
    read: Callable[[etree._Element], Values | None],
) -> Iterator[Row]:
    guard = RecordGuard(stream.read)
    try:
        # Every element that an event is made of costs time, so there are none but for what is read.
        context = etree.iterparse(
            guard,
            events=("start", "end"),
            tag=(*_ROOTS, *tags),
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
        cleaned = 0
        for event, element in context:
            if not checked:
                _refuse_declarations(element)
                checked = True
            if event == "start" or (values := read(element)) is None:
                continue
            guard.row_done()
            line = element.sourceline or 0
            _forget(element)
            if guard.total - cleaned > _BYTES_BETWEEN_CLEANINGS:
                cleaned = guard.total
                _forget_around(element)
            if values is not _NO_ROW:
                yield line, values
        if not checked:
            _refuse_declarations(context.root)
    except etree.XMLSyntaxError as error:
        raise _in_words(error) from error
    except (LookupError, UnicodeError) as error:
        raise FeedError("ENCODING_UNKNOWN", f"The XML's encoding cannot be read: {error}. Send UTF-8.") from error


def _in_words(error: etree.XMLSyntaxError) -> FeedError:
    said = " ".join(str(error.msg).split())
    code = getattr(error, "code", None)
    if code == etree.ErrorTypes.ERR_INVALID_ENCODING:
        message = f"The XML is not in the encoding that it states: {said}. Name its encoding, such as windows-1252."
        return FeedError("ENCODING_INVALID", message, error.lineno)
    if code == etree.ErrorTypes.ERR_UNSUPPORTED_ENCODING:
        return FeedError("ENCODING_UNKNOWN", f"The XML's encoding cannot be read: {said}. Send UTF-8.", error.lineno)
    return FeedError("XML_MALFORMED", f"The XML is broken: {said}. Correct the feed.", error.lineno)


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


def _forget_around(element: etree._Element) -> None:
    """What stands before and on the elements that it is in. No feed has much of it, so that memory hangs on it."""
    for around in element.iterancestors():
        around.text = None
        around.attrib.clear()
        parent = around.getparent()
        while parent is not None and (before := around.getprevious()) is not None:
            parent.remove(before)


@lru_cache(maxsize=_MAX_KNOWN_TAGS)
def _name(tag: object) -> tuple[str, str]:
    """(namespace, local name); empty for what is no element: an entity that nothing declares.

    Google's namespace is the one string _GOOGLE.
    """
    if not isinstance(tag, str):
        return "", ""
    namespace, _, name = tag.rpartition("}")
    return _GOOGLE if namespace[1:] == _GOOGLE else namespace[1:], name


def _text(element: etree._Element) -> str:
    if len(element) == 0:
        return (element.text or "").strip()
    for entity in list(element.iter(etree.Entity)):
        _resolve(entity)
    return "".join(part for part in element.itertext() if isinstance(part, str)).strip()


def _resolve(entity: etree._Element) -> None:
    """Of an entity that only a DTD outside could declare: as HTML does, whose entities they are."""
    text = html.unescape(entity.text or "") + (entity.tail or "")
    before, parent = entity.getprevious(), entity.getparent()
    if before is not None:
        before.tail = (before.tail or "") + text
    elif parent is not None:
        parent.text = (parent.text or "") + text
    if parent is not None:
        parent.remove(entity)


class _GoogleReader:
    def read(self, element: etree._Element) -> Values | None:
        parent = element.getparent()
        if parent is None or _name(parent.tag)[1] not in _PARENTS.get(_name(element.tag)[1], ()):
            return None
        own: Values = {}
        google: Values = {}
        for child in element:
            namespace, name = _name(child.tag)
            if len(child) == 0:
                text = child.text
                text = text.strip() if text else ""
            elif name in _NESTED_TEXT or not any(isinstance(part.tag, str) for part in child):
                text = _text(child)
            else:
                continue
            if not text and name == "link" and child.get("rel", "alternate") == "alternate":
                text = str(child.get("href", ""))
            if text:
                values = google if namespace is _GOOGLE else own
                if name in values:
                    _add(values, name, text)
                else:
                    values[name] = text
        # Google's own elements count more than those of RSS and Atom that bear the same name.
        return own | google


class _YMLReader:
    def __init__(self) -> None:
        self._categories: dict[str, tuple[str, str]] = {}
        self._category_characters = 0

    def read(self, element: etree._Element) -> Values | None:
        tag = _name(element.tag)[1]
        if tag == "category":
            self._take_category(str(element.get("id", "")), _text(element), str(element.get("parentId", "")))
            return _NO_ROW
        if tag != "offer":
            return None
        values: Values = {str(key): str(value) for key, value in element.items()}
        params: dict[str, str] = {}
        for child in element:
            name = _name(child.tag)[1]
            text = _text(child)
            if name == "param":
                params[str(child.get("name", ""))] = text
            elif text and name in values:
                _add(values, name, text)
            elif text:
                values[name] = text
        if params:
            values["param"] = params
        category = values.get("categoryId")
        if isinstance(category, str) and (path := self._path(category)):
            values["category"] = path
        if "name" not in values:
            parts = (values.get(part) for part in ("typePrefix", "vendor", "model"))
            values["name"] = " ".join(part for part in parts if isinstance(part, str))
        return values

    def _take_category(self, key: str, name: str, parent: str) -> None:
        self._category_characters += len(key) + len(name) + len(parent)
        if len(self._categories) < _MAX_CATEGORIES and self._category_characters < _MAX_CATEGORY_CHARACTERS:
            self._categories[key] = (name, parent)

    def _path(self, key: str) -> str:
        names: list[str] = []
        while key in self._categories and len(names) < _MAX_CATEGORY_DEPTH:
            name, key = self._categories[key]
            names.insert(0, name)
        return " > ".join(names)


def _add(values: Values, name: str, text: str) -> None:
    """One more text under a name that is there."""
    known = values[name]
    if isinstance(known, list):
        known.append(text)
    else:
        values[name] = [known, text]
