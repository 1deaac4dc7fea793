"""A customer about whom there is everything, and the routes by which she takes it along and leaves."""

from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest

from domains.cashback import service
from domains.customers import service as customers
from wapsi.security.permissions import CUSTOMER_PERMISSIONS
from wapsi.security.principal import Principal, PrincipalKind

Headers = dict[str, str]
SEND = "cashback.send_payout"
PASSWORD = "correct horse battery"
IBAN = "PK36SCBL0000001123456702"
BROWSER = "Mozilla/5.0 (X11; a browser of her own)"
PHONE = "+923451234599"
NOTE = "my order of the red shoes never came up"
ORDER = "order-of-asma-77"
LANDING = "https://daraz.example/for-asma?name=asma"
NOTHING = {"pending": 0, "available": 0, "in_flight": 0, "owed": 0}
LEAVING = {"current_password": PASSWORD, "confirm": "delete my account"}


def keyed(headers: Headers) -> Headers:
    return headers | {"Idempotency-Key": uuid4().hex}


async def export(api: httpx2.AsyncClient, headers: Headers) -> dict[str, Any]:
    answer = await api.get("/v1/me/export", headers=headers)
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


async def leave(api: httpx2.AsyncClient, headers: Headers, **changes: Any) -> httpx2.Response:
    return await api.post("/v1/me:delete", json=LEAVING | changes, headers=headers)


@pytest.fixture
async def busy(api: httpx2.AsyncClient, world: Any, shopper_headers: Headers, shopper_id: UUID) -> UUID:
    """Asma has used everything there is; PKR 500 are hers to withdraw. Returns the id of her claim's click."""
    method = await api.post(
        "/v1/me/payout-methods",
        json={"kind": "bank_account", "label": "Asma's salary", "iban": IBAN},
        headers=keyed(shopper_headers),
    )
    assert method.status_code == 201, method.text
    click = await api.post(
        "/v1/clicks",
        json={"merchant": "daraz", "link": LANDING},
        headers=keyed(shopper_headers) | {"User-Agent": BROWSER},
    )
    assert click.status_code == 201, click.text
    claim = {"reason_code": "not_tracked", "click_id": click.json()["click_id"], "order_id": ORDER, "note": NOTE}
    claimed = await api.post(
        "/v1/me/claims", json=claim | {"order_amount_minor": 5_000}, headers=keyed(shopper_headers)
    )
    assert claimed.status_code == 201, claimed.text
    assert (await api.put("/v1/me/favourites/merchants/daraz", headers=shopper_headers)).status_code == 204
    await world.earn(shopper_id, 70_000)
    paid = await world.withdraw(shopper_id, UUID(method.json()["id"]), 20_000)
    await world.run_jobs(SEND)
    assert await world.payout_state(paid.id) == "succeeded"
    return UUID(click.json()["click_id"])


async def delete(world: Any, customer_id: UUID) -> None:
    principal = Principal(PrincipalKind.CUSTOMER, customer_id, CUSTOMER_PERMISSIONS)
    async with world.db.write() as session:
        await customers.delete_account(session, world.runtime.personal_data, principal, forfeit=True)


async def booked(world: Any, account: str) -> int:
    async with world.db.read() as session:
        found = await service.list_accounts(session, limit=200, prefix=account)
    return sum(one.balance_minor for one in found)
