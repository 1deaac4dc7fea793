"""Whatever an operator changes is in the audit log: who, what, from what to what, and no secret of it.

Every route by which an operator changes something is called; one without a row here fails.
"""

import re
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx2
import pytest

from tests.security.access import Row, rows
from tests.security.shop_things import FEED
from tests.security.world import World
from wapsi.security.permissions import OperatorRole

BOTH, AFTER, BEFORE, NEITHER = (True, True), (False, True), (True, False), (False, False)
# Asked by POST, and nothing is changed.
LOOKS = {"POST /v1/admin/networks/{slug}/adapter:try"}
# What an operator does to the own session and the own factors is told by those.
OWN = ("/v1/admin/sessions", "/v1/admin/me/")


@dataclass(frozen=True)
class Change:
    """What its entry says. `shows`: is there a before, is there an after. `thing`: what stands for the name in the path
    where the table of the matrix does not have one to which this can happen."""

    action: str
    target: str
    shows: tuple[bool, bool] = BOTH
    thing: str = ""


CHANGES = {
    "POST /v1/merchants/{slug}/syncs": Change("sync.uploaded", "sync", AFTER),
    "POST /v1/syncs/{id}:approve": Change("sync.approved", "sync", thing="quarantined sync"),
    "POST /v1/syncs/{id}:discard": Change("sync.discarded", "sync", thing="quarantined sync"),
    "POST /v1/merchants/{slug}/catalogue:rollback": Change(
        "catalogue.rolled_back", "merchant", thing="shop of two feeds"
    ),
    "POST /v1/admin/networks": Change("network.created", "network", AFTER),
    "POST /v1/admin/networks/{slug}:rotate-secret": Change("network.secret_rotated", "network", AFTER),
    "PUT /v1/admin/networks/{slug}/adapter": Change("network.adapter_set", "network"),
    "POST /v1/admin/networks/{slug}/adapter:rotate-address": Change("network.address_rotated", "network"),
    "POST /v1/admin/networks/{slug}/adapter:close-address": Change("network.address_closed", "network"),
    "POST /v1/admin/networks/{slug}/sales-files": Change("sales_file.uploaded", "sales_file", AFTER),
    "POST /v1/admin/merchants": Change("merchant.created", "merchant", AFTER),
    "PATCH /v1/admin/merchants/{slug}": Change("merchant.updated", "merchant"),
    "POST /v1/admin/merchants/{slug}:activate": Change("merchant.active", "merchant", thing="paused shop"),
    "POST /v1/admin/merchants/{slug}:pause": Change("merchant.paused", "merchant"),
    "POST /v1/admin/merchants/{slug}:archive": Change("merchant.archived", "merchant"),
    "POST /v1/admin/merchants/{slug}/rates": Change("rates.published", "merchant", AFTER),
    "POST /v1/admin/merchants/{slug}/boosts": Change("boost.added", "merchant", AFTER),
    "POST /v1/admin/merchants/{slug}/boosts/{boost_id}:end": Change("boost.ended", "merchant"),
    "PUT /v1/admin/merchants/{slug}/feed-source": Change("feed_source.created", "merchant", AFTER),
    "DELETE /v1/admin/merchants/{slug}/feed-source": Change("feed_source.removed", "merchant", BEFORE),
    "POST /v1/admin/merchants/{slug}/feed-source:fetch": Change(
        "feed_source.fetched", "merchant", AFTER, thing="shop with a feed"
    ),
    "POST /v1/admin/producers": Change("producer.created", "producer", AFTER),
    "POST /v1/admin/producers/{producer_id}:rotate": Change("producer.rotated", "producer"),
    "POST /v1/admin/producers/{producer_id}:revoke": Change("producer.revoked", "producer"),
    "POST /v1/admin/producers/{producer_id}/keys": Change("producer.key_added", "producer", AFTER),
    "POST /v1/admin/producers/{producer_id}/keys/{key_prefix}:revoke": Change("producer.key_revoked", "producer"),
    "POST /v1/admin/conversions/{conversion_id}:approve": Change(
        "conversion.approved", "conversion", thing="pending conversion"
    ),
    "POST /v1/admin/conversions/{conversion_id}:decline": Change("conversion.declined", "conversion"),
    "POST /v1/admin/mapping-proposals": Change("mapping.proposed", "mapping", AFTER),
    "POST /v1/admin/mapping-proposals/{proposal_id}:preview": Change("mapping.previewed", "mapping"),
    "POST /v1/admin/mapping-proposals/{proposal_id}:apply": Change(
        "mapping.applied", "mapping", thing="previewed proposal"
    ),
    "POST /v1/admin/mapping-proposals/{proposal_id}:discard": Change("mapping.discarded", "mapping"),
    "POST /v1/admin/rewards/{reward_id}:hold": Change("reward.held", "reward"),
    "POST /v1/admin/rewards/{reward_id}:release": Change("reward.released", "reward", thing="held reward"),
    "POST /v1/admin/rewards/{reward_id}:decline": Change("reward.reversed", "reward", thing="held reward"),
    "POST /v1/admin/bonus-rules": Change("bonus_rule.added", "bonus_rule", AFTER),
    "POST /v1/admin/bonus-rules/{rule_id}:end": Change("bonus_rule.ended", "bonus_rule"),
    "POST /v1/admin/bonuses/{bonus_id}:release": Change("bonus.released", "bonus", thing="held bonus"),
    "POST /v1/admin/bonuses/{bonus_id}:decline": Change("bonus.declined", "bonus"),
    "POST /v1/admin/payouts/{payout_id}:hold": Change("payout.held", "payout"),
    "POST /v1/admin/payouts/{payout_id}:release": Change("payout.approved", "payout", thing="held payout"),
    "POST /v1/admin/claims/{claim_id}:decide": Change("claim.sent_to_merchant", "claim"),
    "POST /v1/admin/claims/{claim_id}:approve": Change("claim.approved", "claim"),
    "POST /v1/admin/conversions/{conversion_id}:attribute": Change("conversion.attributed", "conversion"),
    "POST /v1/admin/customers:find": Change("customer.found", "customer", NEITHER),
    "POST /v1/admin/customers/{customer_id}:suspend": Change("customer.suspended", "customer"),
    "POST /v1/admin/customers/{customer_id}:reactivate": Change("customer.reactivated", "customer"),
    "PATCH /v1/admin/operators/{operator_id}": Change("operator.changed", "operator"),
}
ROWS = {
    row.name: row
    for row in rows("rest")
    if not row.name.startswith("GET ")
    and set(row.may) & set(OperatorRole)
    and not row.is_public
    and not row.name.partition(" ")[2].startswith(OWN)
    and row.name not in LOOKS
}


def test_every_change_by_an_operator_is_here() -> None:
    assert len(ROWS) >= 29
    assert ROWS.keys() - CHANGES.keys() == set(), "add the entry that it leaves"
    assert CHANGES.keys() - ROWS.keys() == set(), "there is no such route"


class Things:
    """Of a kind that the matrix does not need: there the refusal of what is not possible is enough."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def make(self, name: str) -> str:
        return str(await getattr(self, name.replace(" ", "_"))())

    async def _held(self, path: str, thing: str) -> str:
        found = await self.world.thing(thing)
        answer = await self.world.api.post(
            f"/v1/admin/{path}/{found}:hold", json={"reason_code": "odd"}, headers=self.world.headers("finance")
        )
        assert answer.status_code == 200, answer.text
        return found

    async def held_reward(self) -> str:
        return await self._held("rewards", "reward_id")

    async def held_bonus(self) -> str:
        found = await self.world.thing("bonus_id")
        await self.world.sql("UPDATE bonuses SET state = 'held' WHERE id = $1", UUID(found))
        return found

    async def held_payout(self) -> str:
        return await self._held("payouts", "payout_id")

    async def pending_conversion(self) -> UUID | None:
        return (await self.world.sale("pending")).conversion_id

    async def previewed_proposal(self) -> str:
        proposal_id = await self.world.thing("proposal_id")
        await self.world.sql(
            "UPDATE mapping_proposals SET state = 'previewed', previewed_at = now() WHERE id = $1", UUID(proposal_id)
        )
        return proposal_id

    async def paused_shop(self) -> str:
        return await self.world.thing("paused_slug")

    async def quarantined_sync(self) -> str:
        sync_id = await self.world.thing("sync_id")
        await self.world.drain()
        await self.world.sql("UPDATE syncs SET state = 'quarantined' WHERE id = $1", UUID(sync_id))
        return sync_id

    async def shop_with_a_feed(self) -> str:
        slug = await self.world.thing("new_slug")
        body = {"late_after_s": 86_400, "url": "https://shop.example/feed.jsonl", "every_s": 3_600}
        path = f"/v1/admin/merchants/{slug}/feed-source"
        answer = await self.world.api.put(path, json=body, headers=self.world.headers("admin"))
        assert answer.status_code == 200, answer.text
        return slug

    async def shop_of_two_feeds(self) -> str:
        slug = await self.world.thing("new_slug")
        for feed in (FEED, FEED.replace(b"Kurta", b"Shalwar")):
            headers = self.world.headers("catalogue") | {"X-File-Name": "feed.jsonl"}
            answer = await self.world.api.post(f"/v1/merchants/{slug}/syncs", content=feed, headers=headers)
            assert answer.status_code == 202, answer.text
            await self.world.drain()
        return slug


async def call(world: World, row: Row, change: Change) -> httpx2.Response:
    """By an operator who may, made for this call: the entry must name that very one."""
    things = {name: await world.filled(f"{{{thing}}}", {}) for name, thing in (row.things or {}).items()}
    method, template = row.name.split(" ", 1)
    if change.thing:
        [name] = re.findall(r"\{([a-z_]+)\}", template)
        things[name] = await Things(world).make(change.thing)
    path = await world.filled(template, things)
    body = await world.filled(row.body, things)
    content: dict[str, Any] = {"content": row.raw} if body is None else {"json": body}
    headers = world.headers("admin") | {"X-File-Name": "feed.jsonl"}
    return await world.api.request(method, path, headers=headers, **content)


def shown_once(answer: httpx2.Response) -> list[str]:
    """Secrets in an answer: whatever has a name like one."""
    if not answer.content:
        return []
    return [value for name, value in answer.json().items() if re.search("key$|secret", name) and isinstance(value, str)]


@pytest.fixture
async def admin_id(world: World) -> UUID:
    principal = await world.runtime.authenticator.authenticate(world.bearers["admin"])
    return principal.id


async def faults_of(world: World, admin_id: UUID, name: str, change: Change) -> tuple[list[str], int]:
    """What is wrong with the entry of a call, and how many secrets its answer showed."""
    before = {row["id"] for row in await world.sql("SELECT id FROM audit_log")}
    answer = await call(world, ROWS[name], change)
    if not answer.is_success:
        return [f"{name}: {answer.status_code} {answer.text[:300]}"], 0
    made = await world.sql(
        "SELECT id, action, split_part(target, ':', 1) AS target, before IS NOT NULL AS has_before,"
        " after IS NOT NULL AS has_after, before IS DISTINCT FROM after AS differs, audit_log::text AS line"
        " FROM audit_log WHERE actor = $1 ORDER BY id",
        f"operator:{admin_id}",
    )
    entries = [row for row in made if row["id"] not in before]
    faults = []
    said = [(row["action"], row["target"], (row["has_before"], row["has_after"])) for row in entries]
    if (change.action, change.target, change.shows) not in said:
        faults.append(f"{name}: {said} and not {change}")
    if change.shows == BOTH and not all(row["differs"] for row in entries):
        faults.append(f"{name}: before and after are alike")
    secrets = shown_once(answer)
    if any(secret in row["line"] for secret in secrets for row in entries):
        faults.append(f"{name}: the entry holds a secret")
    return faults, len(secrets)


async def test_each_leaves_an_entry_that_says_who_and_what_and_no_secret(world: World, admin_id: UUID) -> None:
    found = [await faults_of(world, admin_id, name, change) for name, change in CHANGES.items()]
    assert [fault for faults, _ in found for fault in faults] == []
    assert sum(secrets for _, secrets in found) >= 3, "no answer showed a secret: nothing was looked for"


async def test_an_entry_that_is_not_there_is_found(world: World, admin_id: UUID) -> None:
    name = "POST /v1/admin/networks"
    for change in (Change("network.made", "network", AFTER), Change("network.created", "network", BOTH)):
        assert len((await faults_of(world, admin_id, name, change))[0]) == 1
    assert len((await faults_of(world, UUID(int=1), name, CHANGES[name]))[0]) == 1, "it was another operator"
