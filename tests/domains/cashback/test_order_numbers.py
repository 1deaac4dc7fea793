"""One order is one, however its number is spelled; and one visit gives goodwill once, unless two people say so."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from domains.cashback import service
from domains.cashback.config import get_cashback_settings
from domains.cashback.errors import ClaimExists, GoodwillNotOwed
from domains.cashback.service.order_numbers import plain
from domains.customers import service as customers
from tests.domains.cashback.test_claim_approvals import GOODWILL, NONE, is_sound
from tests.domains.cashback.test_goodwill_returns import claim_by, give
from wapsi.security.permissions import ROLE_PERMISSIONS, OperatorRole
from wapsi.security.principal import Principal, PrincipalKind


@pytest.fixture(autouse=True)
def limit(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("WAPSI_CASHBACK_GOODWILL_APPROVAL_MINOR", '{"PKR": 1000000}')
    get_cashback_settings.cache_clear()
    yield
    get_cashback_settings.cache_clear()


@pytest.fixture
async def shopper(world: Any) -> UUID:
    found: UUID = await world.customer()
    return found


@pytest.mark.parametrize("spelled", ["ORD-00 7", "#ord-007", "  # Ord-007 ", "000ord-007", "ｏｒｄ-007"])
def test_spellings_of_one_number_are_one(spelled: str) -> None:
    assert plain(spelled) == plain("ord-007")


@pytest.mark.parametrize(("one", "other"), [("ord-7", "ord-70"), ("0", "1"), ("1-2", "12"), ("ord-007", "ord-7")])
def test_other_numbers_stay_others(one: str, other: str) -> None:
    assert plain(one) != plain(other)


def test_something_is_left_of_each_number() -> None:
    assert (plain("000"), plain("0")) == ("0", "0")


async def test_order_spelled_anew_has_its_claim_already(world: Any, shopper: UUID) -> None:
    click = await world.click(shopper)
    await claim_by(world, shopper, click.id, "Sale-1")
    for spelled in ("sale-1", "#SALE-1", "0 sale-1"):
        with pytest.raises(ClaimExists):
            await claim_by(world, shopper, click.id, spelled)
    # Another customer's order may have any number.
    other = await world.customer()
    await claim_by(world, other, (await world.click(other)).id, "sale-1")
    assert len(await world.sql("SELECT id FROM claims")) == 2


async def test_of_two_spellings_at_the_same_moment_one_is_a_claim(world: Any, shopper: UUID) -> None:
    click = await world.click(shopper)
    spellings = ("sale-1", "SALE-1", "#sale-1", "0sale-1")
    made = await asyncio.gather(
        *(claim_by(world, shopper, click.id, spelled) for spelled in spellings), return_exceptions=True
    )
    assert [type(one) for one in made].count(ClaimExists) == len(spellings) - 1, made
    assert len(await world.sql("SELECT id FROM claims")) == 1


@pytest.mark.parametrize("is_attributed", [True, False])
async def test_sale_is_found_by_its_number_however_the_customer_spells_it(
    world: Any, shopper: UUID, is_attributed: bool
) -> None:
    click = await world.click(shopper)
    sale = await world.report(conversion_id="0ORD-7", **({"click_id": str(click.id)} if is_attributed else {}))
    claim_id = await claim_by(world, shopper, click.id, "#0ord-7")
    async with world.db.read() as session:
        case = await service.claim_case(session, world.runtime.keys, claim_id)
    assert case.sale is not None
    assert (case.sale.id, case.owed_minor) == (sale.conversion_id, 0 if is_attributed else 5_000)
    if is_attributed:
        with pytest.raises(GoodwillNotOwed):
            await give(world, claim_id)


async def test_second_goodwill_for_a_visit_takes_two_operators(world: Any, shopper: UUID) -> None:
    click, another = await world.click(shopper), await world.click(shopper)
    first, second = [await claim_by(world, shopper, click.id, order) for order in ("first", "second")]
    elsewhere = await claim_by(world, shopper, another.id, "third")
    people = []
    for name in ("one", "two"):
        async with world.db.write() as session:
            made = await customers.create_operator(
                session, f"{name}@wapsi.example", "correct horse", OperatorRole.SUPPORT
            )
        people.append(Principal(PrincipalKind.OPERATOR, made.id, ROLE_PERMISSIONS[OperatorRole.SUPPORT]))
    assert (await give(world, first)).goodwill_minor == 5_000
    assert (await give(world, elsewhere)).goodwill_minor == 5_000
    states = []
    for person in people:
        async with world.db.write() as session:
            approved = await service.approve_claim(
                session, world.runtime.keys, person, second, service.Settlement(GOODWILL), "merchant_agreed"
            )
        states.append((str(approved.state), (await world.balance(shopper))["available"]))
    assert states == [("sent_to_merchant", 10_000), ("approved", 15_000)]
    assert await world.balance(shopper) == NONE | {"available": 15_000}
    assert await is_sound(world)
