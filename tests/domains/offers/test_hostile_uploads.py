"""Files that mean harm, through the door and the worker: taken, reported on in words, and nothing else happens."""

import gzip
import io
import json
import zipfile
from typing import Any

import pytest

GOOD = {"id": "1", "title": "Kurta", "link": "https://shop.example/1", "price": "5", "availability": "in_stock"}
HEAD = "id,title,link,price,availability\n"
LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))


def line(**fields: Any) -> str:
    return json.dumps(GOOD | fields, ensure_ascii=False) + "\n"


def rss(doctype: str, text: str) -> bytes:
    return f'<?xml version="1.0"?>{doctype}<rss><channel><item><id>{text}</id></item></channel></rss>'.encode()


def zipped(*names: str) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name in names:
            archive.writestr(name, HEAD)
    return target.getvalue()


# The whole file is refused: the reason that the sync names.
REFUSED = {
    "broken XML": (b"<rss><channel><item><title>x</title></item></chan", "XML_MALFORMED"),
    "DOCTYPE": (rss("<!DOCTYPE rss [<!ELEMENT rss ANY>]>", "1"), "XML_DECLARATIONS"),
    "an entity of a file": (rss('<!DOCTYPE rss [<!ENTITY x SYSTEM "file:///etc/passwd">]>', "&x;"), "XML_DECLARATIONS"),
    "billion laughs": (rss(f'<!DOCTYPE rss [<!ENTITY l0 "ha">{LAUGHS}]>', "&l9;"), "XML_DECLARATIONS"),
    "a gzip bomb": (gzip.compress(HEAD.encode() + (b" " * 1024**2 + b"\n") * 96), "EXPANSION_TOO_LARGE"),
    "a gzip that is cut off": (gzip.compress(line().encode() * 100)[:-9], "COMPRESSION_DAMAGED"),
    "an archive of two files": (zipped("a.csv", "b.csv"), "ZIP_NOT_ONE_FILE"),
    "wrong columns": (b"colour,weight\nred,5\n", "COLUMNS_NOT_RECOGNISED"),
    "a page": (b"<!DOCTYPE html><html><body>503</body></html>", "FEED_IS_WEB_PAGE"),
    "deep JSON": (b"[" * 50_000, "JSON_MALFORMED"),
}
# One row of it is: the code that its issue has.
BAD_ROWS = {
    "NaN price": (line(id="2", price="NaN"), "PRICE_INVALID"),
    "an ambiguous price": (line(id="2", price="1.299"), "AMBIGUOUS_PRICE"),
    "NUL": (line(id="2", title="La\0mp"), "NUL_CHARACTER"),
    "10 MB in a field": (line(id="2", title="x" * 10_000_000), "FIELD_TOO_LARGE"),
    "a link to elsewhere": (line(id="2", link="javascript:alert(1)"), None),
}


@pytest.fixture
def outcome(api: Any, shop: Any, admin_sql: Any) -> Any:
    """What became of a file, and of the jobs that worked on it."""

    async def outcome(content: bytes) -> dict[str, Any]:
        own = {"Authorization": f"Bearer {shop.key}"}
        answer = await api.post(
            "/v1/merchants/shop/syncs", content=content, headers=own | {"Idempotency-Key": "hostile"}
        )
        assert answer.status_code == 202, answer.text
        await shop.drain()
        sync = (await api.get(answer.headers["location"], headers=own)).json()
        issues = await api.get(f"{answer.headers['location']}/issues", headers=own)
        offers = (await api.get("/v1/offers")).json()["items"]
        assert await admin_sql("SELECT last_error FROM jobs WHERE state = 'dead'") == []
        return {
            "state": sync["state"],
            "reason": sync["reason"],
            "message": sync["message"],
            "codes": [issue["code"] for issue in issues.json()["items"]],
            "offers": [offer["offer_id"] for offer in offers],
        }

    return outcome


@pytest.mark.parametrize("case", REFUSED)
async def test_a_whole_file_is_refused_in_words_and_nothing_is_published(outcome: Any, case: str) -> None:
    content, reason = REFUSED[case]
    found = await outcome(content)
    assert (found["state"], found["offers"]) == ("failed", [])
    assert found["reason"] == reason
    assert "Nothing was published" in found["message"]
    assert "root:" not in str(found)


@pytest.mark.parametrize("case", BAD_ROWS)
async def test_a_row_costs_only_itself(outcome: Any, case: str) -> None:
    bad, code = BAD_ROWS[case]
    found = await outcome((line() + bad + line(id="3")).encode())
    assert (found["state"], sorted(found["offers"])) == ("partial", ["1", "3"])
    assert found["codes"] if code is None else found["codes"] == [code]


async def test_prices_of_either_habit_are_read(outcome: Any, api: Any) -> None:
    found = await outcome((line(price="PKR 1,299.00") + line(id="2", price="1.299,00")).encode())
    assert (found["state"], found["codes"]) == ("succeeded", [])
    assert {offer["price_minor"] for offer in (await api.get("/v1/offers")).json()["items"]} == {129_900}


async def test_a_wrong_encoding_costs_the_rows_that_have_it(outcome: Any) -> None:
    latin = line(id="2", title="Caf\u00e9").encode("latin-1")
    found = await outcome(line().encode() + latin + line(id="3").encode())
    assert (found["state"], sorted(found["offers"])) == ("partial", ["1", "3"])
    assert len(found["codes"]) == 1
