"""Markup: the short way through simple markup finds the text that the parser finds."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domains.offers.feeds.text import plain_text, readable_text
from domains.offers.validation.text import clean

TAGS = (
    "<p> </p> <br> <br/> <b> </b> <i> </I> <ul> <li> </li> </ul> <h1> </h1> <span> </span> <div> </div> </a> <p\n>"
    " <BR\xa0/> <span\xa0style='a:b'> <a\xa0href='x'> <div\xa0class=x> <img\xa0src=\"a\">"
)
ODD_TAGS = (
    "< <!--\xa0c\xa0--> <!-- <script>x</script> <style>y</style> <table> <tr> <td> </td> </table> <title>t</title>"
    " <html> <body> </body> <?x?> <x:y> <\xa0b <b <p\xa0a=' </html> <head> <frameset> <select><option> <textarea> </ <!"
    " <svg> <![CDATA[x]]> </p\xa0foo> <input> </br> <hr> <img\xa0alt='a>b'>"
)
ENTITIES = (
    "&amp; &nbsp; &nbsp &lt; &gt; &lt;b&gt; &#39; &#8217; &#65; &#x41; &#0; &#128; &copy &copy; & && &ampx AT&T"
    " &unknown; &notit; &lang;"
)
SIMPLE = st.sampled_from(
    [piece.replace("\xa0", " ") for piece in (*TAGS.split(" "), *ENTITIES.split(" "))]
    + [" ", "  ", "\n", "\t", "\r\n", "\xa0", "a", "word", "Ü", "کرتا", "ไทย", ">", '"', "'", "=", "-", "/", "?"]
)
ODD = st.sampled_from(
    [piece.replace("\xa0", " ") for piece in (*ODD_TAGS.split(" "), "&#8203;", "&#xFFFF;", "&#11;")]
    + ["\x01", "\x0b", "\x1c", "\u200b", "\ufffe"]
)


@settings(max_examples=500)
@given(st.lists(SIMPLE, max_size=12).map("".join))
def test_simple_markup(text: str) -> None:
    assert clean(readable_text(text)) == clean(plain_text(text))


@settings(max_examples=500)
@given(st.lists(SIMPLE | ODD, max_size=12).map("".join))
def test_any_markup(text: str) -> None:
    assert clean(readable_text(text)) == clean(plain_text(text))


@given(st.text())
def test_any_text(text: str) -> None:
    assert clean(readable_text(text)) == clean(plain_text(text))
    if not {"<", "&"} & set(text):
        assert readable_text(text) == text


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<html>", ""),
        ("<html><head></head></html>", ""),
        ("<html><frameset></frameset></html>", ""),
        ("<!DOCTYPE html><html><body><p>One</p>Two</body></html>", "One Two"),
        ("<body>a</body><body>b</body>", "ab"),
        ("<td>a</td><td>b</td>", "a b"),
        ('<img alt="a>b">c', "c"),
        ("&#39;a&#39; &#8217;", "'a' ’"),
        ("<b>a</b>&#8203;", "a\u200b"),
        ("<p>\x01a</p>", "a"),
        ("<p>caf\udce9</p>", "caf\udce9"),
    ],
)
def test_pages_and_odd_pieces(markup: str, text: str) -> None:
    assert " ".join(readable_text(markup).split()) == text


@pytest.mark.parametrize(
    "piece",
    [
        "<",
        "<p ",
        "<p a",
        '<p a="',
        "<p a='x' ",
        "<p" + " " * 50,
        "<b>",
        "&",
        "&#",
        "&#1",
        "<!--",
        "<table><td>",
        "</b>",
    ],
)
def test_the_time_grows_with_the_length_and_not_faster(piece: str) -> None:
    text = piece * (1_000_000 // len(piece))
    start = time.perf_counter()
    readable_text(text)
    assert time.perf_counter() - start < 5
