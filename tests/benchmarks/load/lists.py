"""What the load asks for: requests that the data answers, the popular ones first."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import asyncpg
import orjson

PATHS = 10_000
_OFFERS = 20_000
# Of 100 reads of the catalogue, how many are of which kind.
CATALOGUE_KINDS: Mapping[str, int] = {
    "newest": 10,
    "merchant": 20,
    "brand": 15,
    "category": 15,
    "price": 10,
    "search": 25,
    "seller": 5,
}
WALLET = ("/v1/me/balance", "/v1/me/balance", "/v1/me/cashbacks", "/v1/me/statements", "/v1/me")
_WRITES = (
    *({"locale": locale} for locale in ("en", "ur-PK", "th-TH")),
    *({"preferences": {"notify_by_email": on, "marketing": not on}} for on in (True, False)),
)


@dataclass(frozen=True, slots=True)
class Data:
    """What the database has; of offers a sample. The order is that of popularity, which is made up."""

    merchants: Sequence[str]
    brands: Sequence[str]
    categories: Sequence[str]
    titles: Sequence[str]
    offer_ids: Sequence[str]
    currency: str

    @property
    def words(self) -> list[str]:
        """Of titles, each as often as it occurs there: whole words, long enough to be looked for."""
        return [word for title in self.titles for word in title.split() if len(word) >= 4 and word.isalpha()]


async def read_data(pool: asyncpg.Pool, *, seed: int = 1) -> Data:
    """Reads a sample of about 20,000 offers, which takes a moment at any size."""
    rows = await pool.fetch(
        "SELECT o.id::text, o.title, o.brand, coalesce(nullif(o.google_product_category, ''), o.product_types[1], '')"
        " AS category, o.currency, m.slug FROM offers o TABLESAMPLE SYSTEM (least(100, $2::float8 * 100 * 2 / greatest("
        "(SELECT reltuples FROM pg_class WHERE oid = 'offers'::regclass), 1))) JOIN merchants m ON m.id = o.merchant_id"
        " WHERE o.status = 'active' AND m.status = 'active' AND (o.expires_at IS NULL OR o.expires_at > now())"
        " LIMIT $1",
        2 * _OFFERS,
        _OFFERS,
    )
    rng = random.Random(seed)
    rng.shuffle(rows)
    rows = rows[:_OFFERS]

    def distinct(name: str) -> list[str]:
        return list(dict.fromkeys(row[name] for row in rows if row[name]))

    currencies = [row["currency"] for row in rows if row["currency"]]
    return Data(
        merchants=distinct("slug"),
        brands=distinct("brand"),
        categories=distinct("category"),
        titles=[row["title"] for row in rows],
        offer_ids=[row["id"] for row in rows],
        currency=max(set(currencies), key=currencies.count),
    )


def catalogue_paths(data: Data, *, count: int = PATHS, seed: int = 1) -> list[str]:
    """Distinct GETs of CATALOGUE_KINDS, the most popular first: the front page."""
    rng = random.Random(seed)
    kinds, weights = list(CATALOGUE_KINDS), list(CATALOGUE_KINDS.values())
    words = data.words
    paths = dict.fromkeys(["/v1/offers", "/v1/merchants"])
    # Small data has fewer distinct requests than are wanted.
    for _ in range(20 * count):
        kind = rng.choices(kinds, weights)[0]
        paths[_path(kind, data, words, rng)] = None
        if len(paths) >= count:
            break
    return list(paths)


def _path(kind: str, data: Data, words: Sequence[str], rng: random.Random) -> str:
    query: dict[str, Any] = {}
    merchant = zipf(data.merchants, rng)
    if kind == "seller":
        return f"/v1/merchants/{merchant}"
    if kind in ("merchant", "brand", "category", "price"):
        query["merchant"] = merchant
    if kind == "brand":
        query["brand"] = zipf(data.brands, rng)
    elif kind == "category":
        query["category"] = zipf(data.categories, rng)
    elif kind == "search":
        query["q"] = " ".join(rng.sample(words, rng.choice((1, 1, 2)))) if rng.random() < 0.3 else _phrase(data, rng)
    if kind in ("brand", "category") and rng.random() < 0.5:
        del query["merchant"]
    if kind == "price" or (kind in ("brand", "category", "merchant") and rng.random() < 0.2):
        query |= {"currency": data.currency, "sort": rng.choice(("price", "-price", "net_price"))}
        if rng.random() < 0.5:
            query["price_min"] = rng.randrange(100, 200_000, 100)
    if kind == "newest":
        query["limit"] = rng.randint(1, 50)
    return f"/v1/offers?{urlencode(query)}"


def _phrase(data: Data, rng: random.Random) -> str:
    """One or two words that stand in one title."""
    while True:
        words = [word for word in rng.choice(data.titles).split() if len(word) >= 3 and word.isalnum()]
        if words:
            first = rng.randrange(len(words))
            return " ".join(words[first : first + rng.choice((1, 2, 2))])


def zipf(values: Sequence[str], rng: random.Random) -> str:
    """The k-th about 1/k as often as the first."""
    return values[int((len(values) + 1) ** rng.random()) - 1]


def write_mix(path: Path, data: Data, tokens: Sequence[str]) -> Path:
    """What mix.lua reads."""
    with path.open("w", encoding="utf-8") as file:
        for kind, value in _mix_lines(data, tokens):
            file.write(f"{kind}\t{value}\n")
    return path


def _mix_lines(data: Data, tokens: Sequence[str]) -> Iterator[tuple[str, str]]:
    yield from (("catalogue", path) for path in catalogue_paths(data))
    yield from (("offer", f"/v1/offers/{id_}") for id_ in data.offer_ids)
    yield from (("click", orjson.dumps({"offer_id": id_}).decode()) for id_ in data.offer_ids)
    yield from (("wallet", path) for path in WALLET)
    yield from (("write", orjson.dumps(change).decode()) for change in _WRITES)
    yield from (("token", token) for token in tokens)
