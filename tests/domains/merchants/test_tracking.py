"""Deep-link templates and landing hosts are checked before a customer is ever sent along them."""

import pytest

from domains.merchants.errors import DeepLinkTemplateInvalid, LandingHostInvalid
from domains.merchants.service.tracking import check_deep_link_template, check_landing_hosts


@pytest.mark.parametrize(
    "template",
    [
        "https://go.network.example/c?u={link}&s={click_id}",
        "http://track.example:8080/{click_id}/to/{link}",
        "https://n.example/c?s={click_id}&backup={click_id}&u={link}",
    ],
)
def test_a_usable_template_passes_unchanged(template: str) -> None:
    assert check_deep_link_template(template) == template


@pytest.mark.parametrize(
    ("template", "fault"),
    [
        ("", "printable"),
        ("https://n.example/c?u={link}", "{click_id}"),
        ("https://n.example/c?s={click_id}", "{link}"),
        ("https://n.example/c?u={link}&s={click_id}&x={other}", "no other braces"),
        ("https://n.example/c?u={link}&s={click_id}&x={", "no other braces"),
        ("javascript:alert(1)//{link}{click_id}", "https://"),
        ("//n.example/c?u={link}&s={click_id}", "https://"),
        ("https://{link}/c?s={click_id}", "fixed host"),
        ("https://n.example@evil.example/c?u={link}&s={click_id}", "fixed host"),
        ("https://n.example\\@evil.example/c?u={link}&s={click_id}", "backslashes"),
        ("https://n.example/c?u={link}&s={click_id}\r\nSet-Cookie: a=b", "printable"),
        ("https://n.example/c?u={link} &s={click_id}", "spaces"),
        ("https://n.example:99999/c?u={link}&s={click_id}", "URL"),
        ("https://n.example/c?u={link}#{click_id}", "fragment"),
        ("https:///c?u={link}&s={click_id}", "fixed host"),
        ("https://n.example/" + "a" * 2000 + "{link}{click_id}", "2000"),
    ],
)
def test_a_template_that_could_mislead_is_refused_and_told_why(template: str, fault: str) -> None:
    with pytest.raises(DeepLinkTemplateInvalid, match=fault) as refused:
        check_deep_link_template(template)
    assert refused.value.violations[0].field == "deep_link_template"


def test_landing_hosts_are_lower_cased_sorted_and_unique() -> None:
    assert check_landing_hosts(["www.Shop.example", "shop.example", "SHOP.example"]) == [
        "shop.example",
        "www.shop.example",
    ]


@pytest.mark.parametrize(
    "host",
    [
        "",
        "https://shop.example",
        "shop.example/x",
        "shop.example:80",
        "*.shop.example",
        "a b",
        "-a.example",
        "a..b",
        "ä.de",
        "a" * 64 + ".example",
        ".".join(["abc"] * 70),
        "shop.example\n",
    ],
)
def test_what_is_not_a_plain_host_name_is_refused(host: str) -> None:
    with pytest.raises(LandingHostInvalid):
        check_landing_hosts([host])


def test_too_many_landing_hosts_are_refused() -> None:
    with pytest.raises(LandingHostInvalid, match="50"):
        check_landing_hosts([f"h{number}.example" for number in range(51)])
