from collections.abc import Awaitable, Callable

import pytest

from domains.merchants import service
from domains.merchants.service import (
    CustomerType,
    MerchantRef,
    MerchantStatus,
    NewMerchant,
    NewSchedule,
    Rate,
    RateKind,
)
from wapsi.db import Database
from wapsi.security.permissions import OperatorRole

TEMPLATE = "https://go.network.example/c?u={link}&s={click_id}"
PASSWORD = "correct horse battery"
SignIn = Callable[[OperatorRole], Awaitable[dict[str, str]]]
MakeMerchant = Callable[..., Awaitable[MerchantRef]]


@pytest.fixture
async def admin(operator: SignIn) -> dict[str, str]:
    return await operator(OperatorRole.ADMIN)


def percent(bps: int, category: str = "", customer_type: str = "unknown", cap_minor: int | None = None) -> Rate:
    return Rate(category, CustomerType(customer_type), RateKind.PERCENT, bps, None, "PKR", cap_minor)


@pytest.fixture
def make_merchant(db: Database) -> MakeMerchant:
    """Makes a merchant with rates, in the state asked for."""

    async def make(
        slug: str, *, status: MerchantStatus = MerchantStatus.ACTIVE, name: str | None = None
    ) -> MerchantRef:
        async with db.write() as session:
            new = NewMerchant(
                slug=slug,
                name=name or slug.title(),
                currency="PKR",
                deep_link_template=TEMPLATE,
                allowed_landing_hosts=(f"{slug}.example",),
            )
            await service.create_merchant(session, None, new)
            await service.publish_rates(session, None, slug, NewSchedule((percent(250),)))
            path = {
                MerchantStatus.DRAFT: [],
                MerchantStatus.ACTIVE: [MerchantStatus.ACTIVE],
                MerchantStatus.PAUSED: [MerchantStatus.ACTIVE, MerchantStatus.PAUSED],
                MerchantStatus.ARCHIVED: [MerchantStatus.ACTIVE, MerchantStatus.PAUSED, MerchantStatus.ARCHIVED],
            }[status]
            for step in path:
                await service.move_merchant(session, None, slug, step)
            return await service.get_merchant(session, slug)

    return make


@pytest.fixture(name="percent")
def percent_fixture() -> Callable[..., Rate]:
    return percent
