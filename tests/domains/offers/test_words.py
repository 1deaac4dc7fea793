"""Words of queries are those of documents: the SQL functions and their twins in Python say the same."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domains.offers.service.words import brand_key, category_key, fold, lower, words_of

TEXTS = (
    "Cotton  KURTA, men's (3-piece)!",
    "USB‑C 1.5m — cable №5 / 2×AA",
    "سوتی كُرتا ۱۲۳ شلوارِ قمیض",
    "يہ كتاب ٤٥، ةه",
    "ﻛﺘﺎﺏ کـــتاب",
    "ฝักบัวสายอ่อน 50% 手持花洒,3级可调",
    "İstanbul ΣΊΣΥΦΟΣ Straße ÀÉ ﬁne ½",
    "a" * 530 + " b",
    "ก" * 505,
    "💸 x_y \\ ' : * & | ! < >",
    "\t\n  ",
    "",
)


@pytest.mark.parametrize("text", TEXTS)
async def test_a_documents_words_are_a_querys_words(admin_sql: Any, text: str) -> None:
    [row] = await admin_sql("SELECT search_words($1) AS words, search_fold(search_words($1)) AS folded", text)
    assert row["words"] == " ".join(words_of(text))
    assert row["folded"] == " ".join(fold(word) for word in words_of(text))


_LETTERS = st.sampled_from("aeiouywqkh AEy-'٣ةكيہَ ـۓüßกั，。é")


@settings(max_examples=300)
@given(st.lists(st.text(_LETTERS | st.characters(codec="utf-8", max_codepoint=0x2FFF, exclude_characters="\0"))))
def test_no_word_holds_what_a_tsvector_would_read_as_its_own(texts: list[str]) -> None:
    for text in texts:
        for word in words_of(text):
            assert word
            assert not set(word) & set(" '\\:*&|!<>()~#\"")
            assert len(word) <= 250
            assert words_of(word) == [word]


async def test_any_text_gives_the_same_words_in_both(admin_sql: Any) -> None:
    """Each character that PostgreSQL and Python both know."""
    characters = [chr(code) for code in range(1, 0x3100) if not 0xD800 <= code < 0xE000]
    rows = await admin_sql("SELECT c, search_words('x' || c || 'x') AS words FROM unnest($1::text[]) c", characters)
    other = {f"U+{ord(row['c']):04X}" for row in rows if row["words"] != " ".join(words_of(f"x{row['c']}x"))}
    # The two have Unicode data of different versions; letters of this century's scripts may differ in case only.
    assert len(other) < 20, sorted(other)


@pytest.mark.parametrize(
    "spellings",
    [
        ("kameez", "kamiz", "qameez", "kamiiz"),
        ("shalwar", "shaalwar", "shalvar"),
        ("dupatta", "dupata", "doopatta"),
        ("kapray", "kaprey", "kapre"),
        ("joota", "juta", "juuta"),
        ("kurti", "kurty", "kurtee"),
    ],
)
def test_spellings_of_roman_urdu_are_one(spellings: tuple[str, ...]) -> None:
    assert len({fold(word) for word in spellings}) == 1


def test_keys_of_brands_and_categories_do_not_depend_on_how_they_are_written() -> None:
    assert brand_key("  Mehr & Co ") == "mehr & co"
    assert category_key("Clothing >Kurtas>  Men") == category_key("clothing > kurtas > men")
    assert lower("İΣ") == "iσ"
