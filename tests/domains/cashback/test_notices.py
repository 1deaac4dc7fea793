"""What customers are told of without asking: money that leaves, and claims that wait for them or have ended."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest

from domains.cashback import service
from domains.cashback.errors import InsufficientBalance
from domains.customers.service import Template
from domains.customers.service.message_texts import text_of
from tests.domains.cashback.test_claim_approvals import clerk

EMAIL, PHONE = "asma@wapsi.example", "+923001234567"
_S = service.ClaimState
Heard = Callable[..., Awaitable[list[str]]]


@pytest.fixture
async def shopper(world: Any) -> UUID:
    """With an e-mail address, a number, and something to withdraw."""
    customer: UUID = await world.customer(EMAIL)
    await world.sql("UPDATE customers SET phone = $1, phone_verified_at = now()", PHONE)
    await world.earn(customer, 50_000)
    return customer


@pytest.fixture
def heard(drain: Callable[[], Awaitable[int]], messages: Any) -> Heard:
    """The subjects of what a contact was sent, the oldest first, once all jobs are done."""

    async def heard(recipient: str = EMAIL) -> list[str]:
        await drain()
        return [message.subject for message in reversed(await messages(recipient))]

    return heard


@pytest.fixture
def decide(world: Any, shopper: UUID) -> Any:
    async def decide(*states: service.ClaimState) -> UUID:
        click = await world.click(shopper)
        async with world.db.write() as session:
            new = service.NewClaim(service.ClaimReason.NOT_TRACKED, click.id, "A-1", 100_000)
            claim = await service.submit_claim(session, shopper, new)
            for state in states:
                await service.move_claim(session, clerk(), claim.id, state, "checked", "Which colour?")
        return claim.id

    return decide


def subjects(*templates: Template, locale: str = "en") -> list[str]:
    return [text_of(template, locale).subject for template in templates]


async def test_a_withdrawal_is_told_at_every_contact_and_its_payment_at_one(
    world: Any, shopper: UUID, heard: Heard
) -> None:
    await world.withdraw(shopper, await world.payout_method(shopper), 20_000)
    told = subjects(Template.PAYOUT_METHOD_ADDED, Template.PAYOUT_REQUESTED)
    # The job that sends it is due at once, too.
    assert await heard() == [*told, *subjects(Template.PAYOUT_PAID)]
    assert await heard(PHONE) == told


async def test_one_that_cannot_be_paid_is_told(world: Any, shopper: UUID, heard: Heard) -> None:
    await world.withdraw(shopper, await world.payout_method(shopper, "0001"), 20_000)
    assert (await heard())[-1:] == subjects(Template.PAYOUT_FAILED)


async def test_one_that_is_refused_is_not(world: Any, shopper: UUID, heard: Heard) -> None:
    with pytest.raises(InsufficientBalance):
        await world.withdraw(shopper, await world.payout_method(shopper), 60_000)
    assert await heard() == subjects(Template.PAYOUT_METHOD_ADDED)


async def test_a_claim_that_waits_for_its_customer_is_told_with_no_word_of_the_question(
    decide: Any, heard: Heard, messages: Any
) -> None:
    await decide(_S.INFO_REQUIRED)
    assert await heard() == subjects(Template.CLAIM_ASKED)
    assert "colour" not in (await messages(EMAIL))[0].text


async def test_a_claim_that_goes_to_the_merchant_is_no_news(decide: Any, heard: Heard) -> None:
    await decide(_S.SENT_TO_MERCHANT)
    assert await heard() == []


async def test_a_claim_that_is_declined_has_an_outcome(decide: Any, heard: Heard) -> None:
    await decide(_S.SENT_TO_MERCHANT, _S.DECLINED)
    assert await heard() == subjects(Template.CLAIM_ENDED)


async def test_so_has_one_that_expires(world: Any, decide: Any, heard: Heard) -> None:
    await decide(_S.INFO_REQUIRED)
    await world.sql("UPDATE claims SET due_at = now() - interval '1 day'")
    await world.run_periodic("cashback.expire_claims")
    assert await heard() == subjects(Template.CLAIM_ASKED, Template.CLAIM_ENDED)


async def test_so_has_one_that_goodwill_ends(world: Any, decide: Any, heard: Heard) -> None:
    claim_id = await decide(_S.SENT_TO_MERCHANT)
    async with world.db.write() as session:
        settlement = service.Settlement(service.ClaimResolution.GOODWILL, amount_minor=500)
        await service.approve_claim(session, world.runtime.keys, clerk(), claim_id, settlement, "goodwill")
    assert await heard() == subjects(Template.CLAIM_ENDED)


async def test_in_the_language_of_the_account(world: Any, decide: Any, heard: Heard) -> None:
    await world.sql("UPDATE customers SET locale = 'ur-PK'")
    await decide(_S.INFO_REQUIRED)
    assert await heard() == subjects(Template.CLAIM_ASKED, locale="ur-PK")


async def test_who_has_only_a_number_hears_there(world: Any, decide: Any, heard: Heard) -> None:
    await world.sql("UPDATE customers SET email = NULL, email_verified_at = NULL")
    await decide(_S.INFO_REQUIRED)
    assert await heard(PHONE) == subjects(Template.CLAIM_ASKED)


async def test_nobody_is_told_of_an_account_that_is_deleted(world: Any, decide: Any, heard: Heard) -> None:
    await decide(_S.INFO_REQUIRED)
    await world.sql("UPDATE customers SET status = 'deleted'")
    assert await heard() == []
    assert await heard(PHONE) == []
