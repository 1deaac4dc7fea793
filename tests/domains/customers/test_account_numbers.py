"""IBANs and Pakistani mobile numbers, as people type them."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from domains.customers.errors import IBANInvalid, MobileNumberInvalid
from domains.customers.service.account_numbers import check_iban, check_mobile_number, mask

# The example of the State Bank, which error messages name too.
PK = "PK36SCBL0000001123456702"
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@pytest.mark.parametrize(
    ("typed", "iban"),
    [
        (PK, PK),
        ("pk36 scbl 0000 0011 2345 6702", PK),
        ("PK36-SCBL-0000-0011-2345-6702", PK),
        ("GB82 WEST 1234 5698 7654 32", "GB82WEST12345698765432"),
        ("DE89370400440532013000", "DE89370400440532013000"),
    ],
)
def test_a_good_iban_is_brought_into_one_form(typed: str, iban: str) -> None:
    assert check_iban(typed) == iban


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "PK36",
        "PK36SCBL000000112345670",
        "PK36SCBL00000011234567022",
        "PK37SCBL0000001123456702",
        "PK361234000000112345670\u0662",
        "36PKSCBL0000001123456702",
        "PK36SCBL0000001123456702\n",
        "PK36SCBL0000001123456702\0",
        "GB82WEST12345698765431",
    ],
)
def test_a_bad_iban_is_refused_without_being_repeated(typed: str) -> None:
    with pytest.raises(IBANInvalid) as refused:
        check_iban(typed)
    assert typed[4:16] == "" or typed[4:16] not in refused.value.message.replace(PK, "")


@given(position=st.integers(2, len(PK) - 1), character=st.sampled_from(ALPHABET))
def test_one_wrong_digit_or_letter_never_passes(position: int, character: str) -> None:
    """A digit for a digit, a letter for a letter: what ISO 7064 promises. A letter O for a zero can pass."""
    wrong = PK[:position] + character + PK[position + 1 :]
    assume(wrong != PK and character.isdigit() == PK[position].isdigit())
    with pytest.raises(IBANInvalid):
        check_iban(wrong)


@given(position=st.integers(0, len(PK) - 2))
def test_two_swapped_characters_never_pass(position: int) -> None:
    swapped = PK[:position] + PK[position + 1] + PK[position] + PK[position + 2 :]
    if swapped != PK:
        with pytest.raises(IBANInvalid):
            check_iban(swapped)


@pytest.mark.parametrize(
    "typed", ["+923001234567", "03001234567", "0300 1234567", "0300-1234567", "00923001234567", "923001234567"]
)
def test_every_way_to_write_a_mobile_number_is_one_number(typed: str) -> None:
    assert check_mobile_number(typed) == "+923001234567"


@pytest.mark.parametrize(
    "typed",
    ["", "0211234567", "+14155550123", "0300123456", "030012345678", "٠٣٠٠١٢٣٤٥٦٧", "0300123456a", "+9203001234567"],
)
def test_what_is_not_a_pakistani_mobile_number_is_refused(typed: str) -> None:
    with pytest.raises(MobileNumberInvalid):
        check_mobile_number(typed)


def test_a_mask_shows_the_last_four_only() -> None:
    assert mask(PK) == "PK••••••••••••••••••6702"
    assert mask("+923001234567") == "+92••••••4567"
