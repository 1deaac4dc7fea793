"""Merchants: how they are made, changed, and moved through their states."""

import json
from collections.abc import Awaitable, Callable
from uuid import uuid4

import asyncpg
import pytest

from domains.merchants import service
from domains.merchants.errors import (
    CurrencyUnknown,
    DeepLinkTemplateInvalid,
    LandingHostInvalid,
    MerchantArchived,
    MerchantExists,
    MerchantNotFound,
    MerchantNotReady,
    NetworkNotFound,
)
from domains.merchants.service import MerchantRef, MerchantStatus, NewMerchant, NewSchedule, Rate
from wapsi.db import Database
from wapsi.runtime import Runtime
from wapsi.security.permissions import Permission
from wapsi.security.principal import Principal, PrincipalKind
from wapsi.state import IllegalMove

MakeMerchant = Callable[..., Awaitable[MerchantRef]]
SQL = Callable[..., Awaitable[list[asyncpg.Record]]]

STATUSES = list(MerchantStatus)
ALLOWED = {
    ("draft", "active"),
    ("active", "paused"),
    ("paused", "active"),
    ("paused", "archived"),
}


@pytest.mark.parametrize("target", STATUSES)
@pytest.mark.parametrize("current", STATUSES)
async def test_only_the_listed_moves_are_possible(
    db: Database, make_merchant: MakeMerchant, current: MerchantStatus, target: MerchantStatus
) -> None:
    await make_merchant("daraz", status=current)
    async with db.write() as session:
        if (current, target) in ALLOWED:
            assert (await service.move_merchant(session, None, "daraz", target)).status == target
        else:
            with pytest.raises(IllegalMove, match=f"{current} cannot become {target}"):
                await service.move_merchant(session, None, "daraz", target)


async def test_a_merchant_is_not_active_before_it_can_take_clicks(db: Database, percent: Callable[..., Rate]) -> None:
    async with db.write() as session:
        await service.create_merchant(session, None, NewMerchant("bare", "Bare", "PKR"))
        with pytest.raises(MerchantNotReady, match="deep_link_template, allowed_landing_hosts, rates"):
            await service.move_merchant(session, None, "bare", MerchantStatus.ACTIVE)
        await service.publish_rates(session, None, "bare", NewSchedule((percent(1),)))
        await service.update_merchant(
            session,
            None,
            "bare",
            {"deep_link_template": "https://n.example/{click_id}?u={link}", "allowed_landing_hosts": ["bare.example"]},
        )
        moved = await service.move_merchant(session, None, "bare", MerchantStatus.ACTIVE)
    assert moved.status == MerchantStatus.ACTIVE
    assert moved.allowed_landing_hosts == ("bare.example",)


async def test_an_active_merchant_keeps_what_clicks_need(db: Database, make_merchant: MakeMerchant) -> None:
    await make_merchant("daraz")
    with pytest.raises(MerchantNotReady, match="deep_link_template"):
        async with db.write() as session:
            await service.update_merchant(session, None, "daraz", {"deep_link_template": None})
    async with db.read() as session:
        assert (await service.get_merchant(session, "daraz")).deep_link_template is not None


async def test_a_change_touches_only_what_it_names_and_is_on_record(
    runtime: Runtime, make_merchant: MakeMerchant, admin_sql: SQL
) -> None:
    before = await make_merchant("daraz")
    operator = Principal(PrincipalKind.OPERATOR, uuid4(), frozenset(Permission))
    async with runtime.db.write() as session:
        await service.create_network(session, operator, runtime.keys, slug="cj", name="CJ")
        after = await service.update_merchant(
            session, operator, "daraz", {"name": "Daraz PK", "network": "cj", "click_window_days": 7}
        )
    assert (after.name, after.network, after.click_window_days) == ("Daraz PK", "cj", 7)
    assert (after.slug, after.currency, after.deep_link_template) == (
        before.slug,
        before.currency,
        before.deep_link_template,
    )
    (entry,) = await admin_sql("SELECT * FROM audit_log WHERE action = 'merchant.updated'")
    assert entry["actor"] == f"operator:{operator.id}"
    assert entry["target"] == "merchant:daraz"
    assert json.loads(entry["before"]) == {"name": "Daraz", "network_id": None, "click_window_days": 30}
    assert json.loads(entry["after"])["click_window_days"] == 7


async def test_a_change_to_what_is_there_already_is_not_recorded(
    db: Database, make_merchant: MakeMerchant, admin_sql: SQL
) -> None:
    await make_merchant("daraz")
    async with db.write() as session:
        await service.update_merchant(session, None, "daraz", {"name": "Daraz"})
    assert await admin_sql("SELECT 1 FROM audit_log WHERE action = 'merchant.updated'") == []


async def test_an_archived_merchant_cannot_be_changed(db: Database, make_merchant: MakeMerchant) -> None:
    await make_merchant("daraz", status=MerchantStatus.ARCHIVED)
    async with db.write() as session:
        with pytest.raises(MerchantArchived):
            await service.update_merchant(session, None, "daraz", {"name": "Back"})


async def test_what_is_wrong_with_a_new_merchant_is_said(db: Database, make_merchant: MakeMerchant) -> None:
    await make_merchant("daraz")
    async with db.write() as session:
        for new, error in (
            (NewMerchant("daraz", "Again", "PKR"), MerchantExists),
            (NewMerchant("a", "A", "XXX"), CurrencyUnknown),
            (NewMerchant("a", "A", "PKR", network="nobody"), NetworkNotFound),
            (NewMerchant("a", "A", "PKR", deep_link_template="x"), DeepLinkTemplateInvalid),
            (NewMerchant("a", "A", "PKR", allowed_landing_hosts=("a/b",)), LandingHostInvalid),
        ):
            with pytest.raises(error):
                await service.create_merchant(session, None, new)


async def test_unknown_merchants_are_not_found(db: Database) -> None:
    async with db.write() as session:
        with pytest.raises(MerchantNotFound):
            await service.get_merchant(session, "nobody")
        with pytest.raises(MerchantNotFound):
            await service.get_merchant_by_id(session, uuid4())
        with pytest.raises(MerchantNotFound):
            await service.update_merchant(session, None, "nobody", {})
        with pytest.raises(MerchantNotFound):
            await service.move_merchant(session, None, "nobody", MerchantStatus.ACTIVE)


async def test_lists_are_by_slug_and_can_be_narrowed(db: Database, make_merchant: MakeMerchant) -> None:
    for slug, name, status in (
        ("c", "Khaadi", MerchantStatus.PAUSED),
        ("a", "100% Cotton", MerchantStatus.ACTIVE),
        ("b", "khaadi Kids", MerchantStatus.ACTIVE),
        ("d", "Draft", MerchantStatus.DRAFT),
    ):
        await make_merchant(slug, name=name, status=status)
    async with db.read() as session:

        async def slugs(**filters: object) -> list[str]:
            found = await service.list_merchants(session, limit=10, **filters)  # type: ignore[arg-type]
            return [merchant.slug for merchant in found]

        assert await slugs() == ["a", "b", "c", "d"]
        assert await slugs(after_slug="b") == ["c", "d"]
        assert await slugs(name_prefix="KHAADI") == ["b", "c"]
        assert await slugs(name_prefix="1%") == [], "a percent sign is a percent sign"
        assert await slugs(name_prefix="100%") == ["a"]
        assert await slugs(statuses=service.PUBLIC_STATUSES) == ["a", "b", "c"]
        assert await slugs(merchant_ids=[]) == []
        active = await service.active_merchants(session)
    assert sorted(merchant.slug for merchant in active.values()) == ["a", "b"]
    assert all(key == merchant.id for key, merchant in active.items())
