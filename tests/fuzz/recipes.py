"""For each route a request that succeeds: those of the table of permissions, and here those which take some steps."""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import orjson
import pyotp

from domains.cashback import service as cashback
from domains.customers import service as customers
from domains.customers.service.subjects import get_account
from domains.merchants import service as merchants
from tests.domains.customers.test_passkeys import Device
from tests.security.access import Row, rows
from tests.security.callers import PASSWORD
from tests.security.world import World
from wapsi.security.permissions import PASSWORD_AND_CODE, OperatorRole

Json = dict[str, Any]
ROWS = {row.name: row for row in rows("rest")}
CONFIRMED = {"current_password": PASSWORD}
# Whatever a fuzzed operator has done to it.
_HEAL = """
    UPDATE merchants SET status = 'active', allowed_landing_hosts = '{shop.example}',
        network_id = NULL, deep_link_template = 'https://go.example/?u={link}&c={click_id}'
    WHERE slug IN ('shop', 'other-shop')"""


@dataclass(slots=True)
class Good:
    """A request that should succeed. `path` holds the values of the parameters of its template."""

    caller: str | None
    path: dict[str, str] = field(default_factory=dict)
    query: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    raw: bytes | None = None
    # Signs the body, whatever it has become: what is behind the signature is looked for.
    sign: Callable[[bytes], Mapping[str, str]] | None = None


class Recipes:
    """`await recipes.good("POST /v1/clicks")`: a request that is ready to be sent, all that it needs being there."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._steps: dict[str, Callable[[], Awaitable[Good]]] = {
            "POST /v1/admin/conversions/{conversion_id}:approve": self._approve_sale,
            "POST /v1/admin/rewards/{reward_id}:release": self._release_reward,
            "POST /v1/admin/rewards/{reward_id}:decline": self._release_reward,
            "POST /v1/admin/payouts/{payout_id}:release": self._release_payout,
            "POST /v1/admin/bonuses/{bonus_id}:release": self._release_bonus,
            "POST /v1/admin/mapping-proposals/{proposal_id}:apply": self._apply_mapping,
            "POST /v1/admin/merchants/{slug}:activate": self._activate,
            "POST /v1/admin/merchants/{slug}/feed-source:fetch": self._fetch,
            "POST /v1/admin/sessions": self._sign_in_at_the_desk,
            "POST /v1/customers:verify": self._verify_sign_up,
            "POST /v1/me/contacts:verify": self._verify_contact,
            "POST /v1/merchants/{slug}/catalogue:rollback": self._roll_back,
            "POST /v1/password-resets/{reset_id}:confirm": self._reset,
            "GET /v1/postbacks/{network}/{token}": self._call,
            "POST /v1/postbacks/{network}": self._postback,
            "POST /v1/postbacks/{network}/{token}": self._unsigned_postback,
            "POST /v1/sessions": self._sign_in,
            "POST /v1/sessions:passkey": self._sign_in_by_passkey,
            "POST /v1/sessions:refresh": self._refresh,
            "POST /v1/sessions:verify": self._second_step,
            "POST /v1/syncs/{id}:approve": self._decide_sync,
            "POST /v1/syncs/{id}:discard": self._decide_sync,
        }
        for caller, prefix in (("customer_a", "/v1/me"), ("admin", "/v1/admin/me")):
            self._add_own(caller, prefix)

    def _add_own(self, caller: str, prefix: str) -> None:
        """What customers and operators have alike."""

        def step(make: Callable[[str, str], Awaitable[Good]]) -> Callable[[], Awaitable[Good]]:
            return lambda: make(caller, prefix)

        self._steps |= {
            f"DELETE {prefix}/sessions/{{session_id}}": step(self._end_session),
            f"POST {prefix}/factors/totp:confirm": step(self._confirm_app),
            f"POST {prefix}/factors/totp:remove": step(self._remove_app),
            f"POST {prefix}/recovery-codes": step(self._recovery_codes),
            f"POST {prefix}/passkeys": step(self._add_passkey),
            f"PATCH {prefix}/passkeys/{{passkey_id}}": step(self._rename_passkey),
            f"POST {prefix}/passkeys/{{passkey_id}}:remove": step(self._remove_passkey),
        }

    async def heal(self) -> None:
        """Callers of their own, who lose nothing by what the ones before them did; and the shop open again."""
        world = self.world
        await world.sql(_HEAL)
        email = f"{uuid4().hex}@wapsi.example"
        world.ids["customer_a"] = await world.customer(email)
        world.bearers["customer_a"] = (await self._tokens(customers.SubjectKind.CUSTOMER, world.ids["customer_a"]))[0]
        async with world.runtime.db.write() as session:
            made = await customers.create_operator(
                session, f"{uuid4().hex}@wapsi.example", PASSWORD, OperatorRole.ADMIN
            )
            producer, key = await customers.create_producer(session, "walks", [world.ids["shop"]])
        world.bearers["admin"] = (await self._tokens(customers.SubjectKind.OPERATOR, made.id))[0]
        world.bearers["producer_a"], world.ids["producer_a"] = key, producer.id

    async def good(self, label: str) -> Good:
        if label in self._steps:
            return await self._steps[label]()
        row, world = ROWS[label], self.world
        things: dict[str, str] = {}
        for name, thing in (row.things or {}).items():
            things[name] = await world.filled(f"{{{thing}}}", {})
        await world.filled(label, things)
        path = {name: value for name, value in things.items() if f"{{{name}}}" in label}
        query = dict(pair.split("=", 1) for pair in row.query.split("&") if pair)
        raw = None if row.raw is None else row.raw.encode()
        caller = self._caller(row)
        if row.throwaway:
            caller = await self._fresh("customer_a" if caller == "customer_a" else "admin")
        return Good(caller, path, query, body=await world.filled(row.body, things), raw=raw)

    def _caller(self, row: Row) -> str | None:
        if row.is_public:
            return None
        if row.whose:
            return row.whose
        return "customer_a" if "customer_a" in row.may else "admin"

    def headers(self, caller: str | None) -> dict[str, str]:
        return self.world.headers(caller)

    async def _post(self, path: str, body: Any = None, caller: str | None = None) -> Json:
        answer = await self.world.api.post(path, json=body, headers=self.headers(caller))
        assert answer.is_success, f"{path}: {answer.status_code} {answer.text}"
        found: Json = answer.json()
        return found

    async def _tokens(self, kind: customers.SubjectKind, subject_id: UUID) -> tuple[str, str]:
        """An access and a refresh token of a new session, without the work of a password."""
        runtime = self.world.runtime
        async with runtime.db.write() as session:
            account = await get_account(session, kind, subject_id)
            assert account is not None
            made = await customers.SessionIssuer(runtime.keys, runtime.settings).issue(
                session, account, PASSWORD_AND_CODE, "walks"
            )
        return made.access_token, made.refresh_token

    async def _code(self, email: str) -> str:
        """What was sent there last."""
        await self.world.drain()
        async with self.world.runtime.db.read() as session:
            [message, *_] = await customers.list_messages(
                session, self.world.runtime.keys, limit=1, recipient=customers.Contact.of(email=email, phone=None)
            )
        assert message.code is not None
        return message.code

    # Sales and money

    async def _approve_sale(self) -> Good:
        sale = await self.world.sale("pending")
        return Good("admin", {"conversion_id": str(sale.conversion_id)}, body={"reason_code": "looked_at"})

    async def _release_reward(self) -> Good:
        return await self._held("reward_id", "/v1/admin/rewards")

    async def _release_payout(self) -> Good:
        return await self._held("payout_id", "/v1/admin/payouts")

    async def _apply_mapping(self) -> Good:
        """The last one: none before it may be under way."""
        await self.world.sql(
            "UPDATE mapping_proposals SET state = CASE WHEN version IS NULL THEN 'discarded' ELSE 'applied' END"
        )
        proposal_id = await self.world.thing("proposal_id")
        await self.world.sql(
            "UPDATE mapping_proposals SET state = 'previewed', previewed_at = now() WHERE id = $1", UUID(proposal_id)
        )
        return Good("admin", {"proposal_id": proposal_id})

    async def _release_bonus(self) -> Good:
        bonus_id = await self.world.thing("bonus_id")
        await self.world.sql("UPDATE bonuses SET state = 'held' WHERE id = $1", UUID(bonus_id))
        return Good("admin", {"bonus_id": bonus_id}, body={"reason_code": "looked_at"})

    async def _held(self, name: str, path: str) -> Good:
        held = await self.world.thing(name)
        body = {"reason_code": "looked_at"}
        await self._post(f"{path}/{held}:hold", body, "admin")
        return Good("admin", {name: held}, body=body)

    async def _postback(self) -> Good:
        world = self.world
        async with world.runtime.db.write() as session:
            network, secret = await merchants.create_network(
                session, None, world.runtime.keys, slug=f"n-{uuid4().hex}", name="Network"
            )
        slug = await world.thing("new_slug")
        await world.sql("UPDATE merchants SET network_id = $1 WHERE slug = $2", network.id, slug)
        click = await self._post("/v1/clicks", {"merchant": slug}, "customer_a")
        body = {
            "conversion_id": uuid4().hex,
            "merchant": slug,
            "click_id": click["click_id"],
            "status": "approved",
            "order_amount_minor": 1_000_000,
            "commission_minor": 100_000,
            "currency": "PKR",
            "occurred_at": "2026-01-01T10:00:00Z",
        }

        def sign(raw: bytes) -> Mapping[str, str]:
            return cashback.sign_postback(secret, f"msg_{uuid4().hex}", int(time.time()), raw)

        return Good(None, {"network": network.slug}, body=body, sign=sign)

    async def _call(self) -> Good:
        return Good(None, await self._address(), query={"commissionId": uuid4().hex, "actionStatus": "new"})

    async def _unsigned_postback(self) -> Good:
        body = {"records": [{"commissionId": uuid4().hex, "actionStatus": "new", "pubCurrency": "PKR"}]}
        return Good(None, await self._address(), body=body)

    async def _address(self) -> dict[str, str]:
        """Of a network that signs nothing."""
        network = await self.world.thing("read_network")
        made = await self._post(f"/v1/admin/networks/{network}/adapter:rotate-address", {}, "admin")
        return {"network": network, "token": made["secret"].rpartition("/")[2]}

    # Merchants and feeds

    async def _activate(self) -> Good:
        return Good("admin", {"slug": await self.world.thing("paused_slug")})

    async def _fetch(self) -> Good:
        slug = await self.world.thing("new_slug")
        body = {"url": f"https://{slug}.invalid/feed.xml", "late_after_s": 86_400}
        path = f"/v1/admin/merchants/{slug}/feed-source"
        answer = await self.world.api.put(path, json=body, headers=self.headers("admin"))
        assert answer.is_success, answer.text
        return Good("admin", {"slug": slug})

    async def _fed(self, slug: str, count: int) -> str:
        """The id of the sync that brought so many offers, and has come to its end."""
        lines = (
            {
                "id": str(number),
                "title": f"Lamp {number}",
                "link": f"https://shop.example/{number}",
                "price": f"PKR {number + 1}00",
                "availability": "in_stock",
            }
            for number in range(count)
        )
        feed = b"\n".join(orjson.dumps(line) for line in lines)
        headers = self.headers("admin") | {"X-File-Name": "feed.jsonl"}
        answer = await self.world.api.post(f"/v1/merchants/{slug}/syncs", content=feed, headers=headers)
        assert answer.is_success, answer.text
        await self.world.drain()
        return str(answer.json()["id"])

    async def _decide_sync(self) -> Good:
        """One that would empty the shop waits for an operator's word."""
        slug = await self.world.thing("new_slug")
        await self._fed(slug, 30)
        return Good("admin", {"id": await self._fed(slug, 1)})

    async def _roll_back(self) -> Good:
        slug = await self.world.thing("new_slug")
        await self._fed(slug, 1)
        await self._fed(slug, 2)
        return Good("admin", {"slug": slug})

    # Signing up and in

    async def _verify_sign_up(self) -> Good:
        email = f"{uuid4().hex}@wapsi.example"
        asked = await self._post("/v1/customers", {"email": email, "password": PASSWORD, "display_name": "Bilal"})
        return Good(None, body={"sign_up_id": asked["sign_up_id"], "code": await self._code(email)})

    async def _verify_contact(self) -> Good:
        email = f"{uuid4().hex}@wapsi.example"
        asked = await self._post("/v1/me/contacts", CONFIRMED | {"email": email}, "customer_a")
        body = {"contact_id": asked["contact_id"], "code": await self._code(email)}
        return Good("customer_a", body=body)

    async def _somebody(self) -> str:
        """The e-mail address of a customer."""
        email = f"{uuid4().hex}@wapsi.example"
        await self.world.customer(email)
        return email

    async def _reset(self) -> Good:
        email = await self._somebody()
        asked = await self._post("/v1/password-resets", {"email": email})
        body = {"code": await self._code(email), "new_password": "seven green parrots"}
        return Good(None, {"reset_id": asked["reset_id"]}, body=body)

    async def _sign_in(self) -> Good:
        return Good(None, body={"email": await self._somebody(), "password": PASSWORD})

    async def _sign_in_at_the_desk(self) -> Good:
        email = f"{uuid4().hex}@wapsi.example"
        async with self.world.runtime.db.write() as session:
            await customers.create_operator(session, email, PASSWORD, OperatorRole.SUPPORT)
        return Good(None, body={"email": email, "password": PASSWORD})

    async def _refresh(self) -> Good:
        _access, refresh = await self._tokens(customers.SubjectKind.CUSTOMER, self.world.ids["customer_a"])
        return Good(None, body={"refresh_token": refresh})

    async def _second_step(self) -> Good:
        email = await self._somebody()
        tokens = await self._post("/v1/sessions", {"email": email, "password": PASSWORD})
        self.world.bearers["second_step"] = tokens["access_token"]
        secret = await self._app("second_step", "/v1/me", is_confirmed=True)
        asked = await self._post("/v1/sessions", {"email": email, "password": PASSWORD})
        return Good(None, body={"challenge": asked["challenge"], "code": pyotp.TOTP(secret).now()})

    # What each has beside the password. Of an account that is used for nothing else: to take a factor away, or to add
    # one, changes what the next request needs.

    async def _fresh(self, caller: str) -> str:
        """Such an account, by the name that its token has among the world's."""
        world, name = self.world, f"{caller}_alone"
        if caller == "admin":
            async with world.runtime.db.write() as session:
                made = await customers.create_operator(
                    session, f"{uuid4().hex}@wapsi.example", PASSWORD, OperatorRole.ADMIN
                )
            kind, subject_id = customers.SubjectKind.OPERATOR, made.id
        else:
            kind = customers.SubjectKind.CUSTOMER
            subject_id = await world.customer(f"{uuid4().hex}@wapsi.example")
        world.ids[name] = subject_id
        world.bearers[name] = (await self._tokens(kind, subject_id))[0]
        return name

    async def _app(self, caller: str, prefix: str, *, is_confirmed: bool) -> str:
        """The secret of an authenticator app. Confirmed with the code before this one, so that the next one counts."""
        made = await self._post(f"{prefix}/factors/totp", CONFIRMED, caller)
        secret = str(made["secret"])
        if is_confirmed:
            code = pyotp.TOTP(secret).at(int(time.time()) - 30)
            await self._post(f"{prefix}/factors/totp:confirm", {"code": code}, caller)
        return secret

    async def _confirm_app(self, caller: str, prefix: str) -> Good:
        alone = await self._fresh(caller)
        secret = await self._app(alone, prefix, is_confirmed=False)
        return Good(alone, body={"code": pyotp.TOTP(secret).now()})

    async def _remove_app(self, caller: str, prefix: str) -> Good:
        alone = await self._fresh(caller)
        secret = await self._app(alone, prefix, is_confirmed=True)
        return Good(alone, body=CONFIRMED | {"code": pyotp.TOTP(secret).now()})

    async def _recovery_codes(self, caller: str, prefix: str) -> Good:
        alone = await self._fresh(caller)
        await self._app(alone, prefix, is_confirmed=True)
        return Good(alone, body=dict(CONFIRMED))

    async def _end_session(self, caller: str, prefix: str) -> Good:
        alone = await self._fresh(caller)
        kind = customers.SubjectKind.OPERATOR if caller == "admin" else customers.SubjectKind.CUSTOMER
        await self._tokens(kind, self.world.ids[alone])
        answer = await self.world.api.get(f"{prefix}/sessions", headers=self.headers(alone))
        [other] = [one["id"] for one in answer.json()["items"] if not one["current"]]
        return Good(alone, {"session_id": other})

    async def _registration(self, alone: str, prefix: str, device: Device) -> Json:
        asked = await self._post(f"{prefix}/passkeys:options", CONFIRMED, alone)
        return {"challenge": asked["challenge"], "name": "A phone", "credential": device.create(asked["options"])}

    async def _add_passkey(self, caller: str, prefix: str) -> Good:
        alone = await self._fresh(caller)
        return Good(alone, body=await self._registration(alone, prefix, Device()))

    async def _registered(self, caller: str, prefix: str, device: Device) -> tuple[str, str]:
        alone = await self._fresh(caller)
        made = await self._post(f"{prefix}/passkeys", await self._registration(alone, prefix, device), alone)
        return alone, str(made["id"])

    async def _rename_passkey(self, caller: str, prefix: str) -> Good:
        alone, passkey_id = await self._registered(caller, prefix, Device())
        return Good(alone, {"passkey_id": passkey_id}, body={"name": "Another phone"})

    async def _remove_passkey(self, caller: str, prefix: str) -> Good:
        alone, passkey_id = await self._registered(caller, prefix, Device())
        return Good(alone, {"passkey_id": passkey_id}, body=dict(CONFIRMED))

    async def _sign_in_by_passkey(self) -> Good:
        device = Device()
        await self._registered("customer_a", "/v1/me", device)
        asked = await self._post("/v1/sessions:passkey-options")
        return Good(None, body={"challenge": asked["challenge"], "credential": device.get(asked["options"])})
