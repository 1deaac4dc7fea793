"""Who knows a network's address speaks for that network, and for no other."""

import pytest

from domains.cashback.service.adapters.addresses import address_token, is_address_of

SECRET, PREVIOUS = b"a" * 24, b"b" * 24


def test_address_counts_for_its_network_and_with_either_secret() -> None:
    token = address_token(SECRET, "awin")
    assert len(token) == 32
    assert is_address_of([SECRET], "awin", token)
    assert is_address_of([PREVIOUS, SECRET], "awin", token)
    assert is_address_of([SECRET, PREVIOUS], "awin", address_token(PREVIOUS, "awin"))


@pytest.mark.parametrize(
    "token", ["", "x", "A" * 32, "é" * 32, address_token(SECRET, "cj"), address_token(PREVIOUS, "awin")]
)
def test_any_other_address_does_not(token: str) -> None:
    assert not is_address_of([SECRET], "awin", token)
    assert not is_address_of([], "awin", token)
