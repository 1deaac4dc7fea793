"""A redirect leads only where the merchant's own sites are, whatever a link is made to look like."""

from uuid import UUID

import pytest

from domains.cashback.errors import ClickNotFound, LandingLinkRefused
from domains.cashback.service.links import check_landing_link, click_of_token, click_token, tracked_link
from wapsi.config import Settings
from wapsi.ids import new_id
from wapsi.security.signing import Keys

HOSTS = ("daraz.example",)


@pytest.mark.parametrize(
    "link",
    [
        "https://daraz.example",
        "https://daraz.example/p/1?a=b&c=%20#reviews",
        "http://www.daraz.example:80/",
        "https://DARAZ.example/x",
        "https://daraz.example:443/@user",
        "https://daraz.example/?next=//evil.example",
    ],
)
def test_link_to_the_merchant_is_taken(link: str) -> None:
    assert check_landing_link(link, HOSTS) == link


def test_letters_beyond_ascii_are_encoded() -> None:
    assert check_landing_link("https://daraz.example/چائے?q=é", HOSTS) == (
        "https://daraz.example/%DA%86%D8%A7%D8%A6%DB%92?q=%C3%A9"
    )


@pytest.mark.parametrize(
    "link",
    [
        "",
        "/p/1",
        "//daraz.example/",
        "//evil.example",
        "https:daraz.example",
        "https:///daraz.example",
        "https://evil.example/",
        "https://daraz.example.evil.example/",
        "https://evildaraz.example/",
        "https://daraz.example./",
        "https://daraz.example@evil.example/",
        "https://user:password@daraz.example/",
        "https://evil.example\\@daraz.example/",
        "https://daraz.example\\.evil.example/",
        "https:\\\\evil.example",
        "https://daraz.example/\r\nSet-Cookie: a=b",
        "https://daraz.example/\nx",
        "https://daraz.example/\tx",
        " https://daraz.example/",
        "https://daraz.example/a b",
        "https://daraz.example/\x00",
        "https://daraz.example/\u00a0",
        "javascript:alert(1)//daraz.example",
        "data:text/html,daraz.example",
        "ftp://daraz.example/",
        "https://daraz.example:8443/",
        "https://daraz.example:99999/",
        "https://daraz.example:x/",
        "https://[daraz.example/",
        "https://dаraz.example/",  # a Cyrillic а
        "https://daraz。example/",
        "https://daraz.example%2eevil.example/",
        "https://daraz.example/" + "a" * 2000,
    ],
    ids=repr,
)
def test_link_to_anywhere_else_is_refused(link: str) -> None:
    with pytest.raises(LandingLinkRefused):
        check_landing_link(link, HOSTS)


def test_nothing_in_the_link_can_change_the_deep_link() -> None:
    click_id = UUID(int=1)
    tracked = tracked_link(
        "https://go.example/c?u={link}&sub={click_id}", "https://d.example/?a=1&sub={click_id}", click_id
    )
    assert tracked == f"https://go.example/c?u=https%3A%2F%2Fd.example%2F%3Fa%3D1%26sub%3D%7Bclick_id%7D&sub={click_id}"


def test_token_carries_the_click(settings: Settings) -> None:
    keys, click_id = Keys(settings), new_id()
    token = click_token(keys, click_id)
    assert len(token) == 32
    assert click_of_token(keys, token) == click_id


@pytest.mark.parametrize("position", [0, 15, 21, 22, 31])
def test_token_with_one_letter_changed_is_unknown(settings: Settings, position: int) -> None:
    keys = Keys(settings)
    token = click_token(keys, new_id())
    other = "A" if token[position] != "A" else "B"
    with pytest.raises(ClickNotFound):
        click_of_token(keys, token[:position] + other + token[position + 1 :])


@pytest.mark.parametrize("token", ["", "x", "a" * 31, "a" * 33, "a" * 31 + "=", "a" * 31 + "\n", "é" * 32, "../" * 10])
def test_what_is_no_token_is_unknown(settings: Settings, token: str) -> None:
    with pytest.raises(ClickNotFound):
        click_of_token(Keys(settings), token)
