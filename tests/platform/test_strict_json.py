"""JSON that all parsers read alike, and none that they do not."""

import contextlib
import json
import re
import sys
from types import FrameType
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wapsi import strict_json
from wapsi.strict_json import DEPTH_MAX, NotStrict, check


@pytest.mark.parametrize(
    "raw",
    [
        b"{}",
        b" [1, -2, 0.5, 1e10, true, false, null] ",
        b'"text"',
        '{"name": "آسما", "emoji": "😀"}'.encode(),
        rb'{"escaped": "\u0622\ud83d\ude00\n", "not a NUL": "\\u0000"}',
        b"9223372036854775807",
        b"-9223372036854775808",
        b"[" * DEPTH_MAX + b"]" * DEPTH_MAX,
        b'{"a": "' + b"[" * 1000 + b'"}',
        b"[" + b"[]," * 1000 + b"[]]",
        rb'["\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\"]',
    ],
)
def test_what_is_json_passes(raw: bytes) -> None:
    check(raw)


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"{", "Expecting property name"),
        (b"{'a': 1}", "Expecting property name"),
        (b"[1,]", "at character"),
        (b"[1] x", "Extra data"),
        (b" ", "Expecting value"),
        (b'"line\nend"', "control character"),
        (b'"\0"', "control character"),
        (b"NaN", "NaN is no number"),
        (b"[-Infinity]", "-Infinity is no number"),
        (b"1e999", "a number is too large"),
        (b"9223372036854775808", "more than 64 bits"),
        (b"-9223372036854775809", "more than 64 bits"),
        (b"1" * 100_000, "more than 64 bits"),
        (b'{"a": 1, "a": 1}', "a key twice"),
        (rb'{"a": 1, "\u0061": 2}', "a key twice"),
        (b'[{"b": {"a": 1, "a": 2}}]', "a key twice"),
        (rb'"\u0000"', "NUL"),
        (rb'{"\u0000": 1}', "NUL"),
        (rb'[["\ud800"]]', "lone surrogate"),
        (rb'{"a": "\udfff\ud800"}', "lone surrogate"),
        (b'"\xff"', "not UTF-8"),
        (b'"\xed\xa0\x80"', "not UTF-8"),
        (b"\xef\xbb\xbf{}", "at character 0"),
        ('{"a": 1}'.encode("utf-16"), "not UTF-8"),
        ('{"a": 1}'.encode("utf-16-le"), "at character"),
        (b"[" * (DEPTH_MAX + 1) + b"]" * (DEPTH_MAX + 1), "nested deeper than 32"),
        (b'{"a":' * 40 + b"1" + b"}" * 40, "nested deeper than 32"),
        (b"[" * 1_000_000, "nested deeper than 32"),
    ],
)
def test_what_is_read_in_more_than_one_way_is_refused(raw: bytes, why: str) -> None:
    with pytest.raises(NotStrict, match=re.escape(why)):
        check(raw)


@pytest.mark.parametrize("raw", [b"[" * 200_000, b"[" + b"[]," * 100_000 + b"[]]", b"]" * 200_000 + b"[" * 40])
def test_brackets_are_not_counted_one_by_one_on_the_loop(raw: bytes) -> None:
    lines = 0

    def count(frame: FrameType, event: str, _: object) -> Any:
        nonlocal lines
        # Not what the garbage collector may run in between.
        lines += event == "line" and frame.f_code.co_filename == strict_json.__file__
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        with contextlib.suppress(NotStrict):
            check(raw)
    finally:
        sys.settrace(before)
    assert 0 < lines < 500


def test_words_repeat_nothing_of_the_text() -> None:
    for raw in (b'{"password": "hunter2",}', b'{"hunter2": 1, "hunter2": 2}', rb'"hunter2\u0000"'):
        with pytest.raises(NotStrict) as caught:
            check(raw)
        assert "hunter2" not in str(caught.value)


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(values, st.booleans())
def test_whatever_an_honest_client_writes_passes(value: object, ascii_only: bool) -> None:
    check(json.dumps(value, ensure_ascii=ascii_only).encode())


@given(st.binary(max_size=60) | st.text(alphabet='{}[]",:\\u0dN1e- ', max_size=60).map(str.encode))
def test_what_passes_is_read_by_others_too(raw: bytes) -> None:
    try:
        check(raw)
    except NotStrict:
        return
    assert orjson.loads(raw) == json.loads(raw)
