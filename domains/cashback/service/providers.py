"""Who pays out: the interface of a payout provider, and a sandbox that behaves like one, failures included."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from sqlalchemy.dialects.postgresql import insert

from domains.cashback.models import SandboxPayoutRow
from wapsi.db import Database


class ProviderStatus(StrEnum):
    """NOT_KNOWN: the provider has never heard of the key."""

    PAID = "paid"
    FAILED = "failed"
    NOT_KNOWN = "not_known"


@dataclass(frozen=True, slots=True)
class ProviderResult:
    """`reference` is the provider's own, `reason` why it failed."""

    status: ProviderStatus
    reference: str = ""
    reason: str = ""


class ProviderTimeout(Exception):
    """No answer in time: it may have paid or not."""


class PayoutProvider(Protocol):
    """Idempotent by `key`: sending a key again pays nothing again, and answers what became of it."""

    name: str

    async def send(self, key: UUID, amount_minor: int, currency: str, account: str) -> ProviderResult:
        """Raises ProviderTimeout."""

    async def status(self, key: UUID) -> ProviderResult:
        """Raises ProviderTimeout."""


class SandboxProvider:
    """Pays nobody. Its books are its own: it writes them in transactions of its own, as a real provider would.

    The account's last digits choose what happens: 0001 fails (account closed); 0002 is paid, but the first answer
    times out; 0003 times out and was not paid; anything else is paid.
    """

    name = "sandbox"

    def __init__(self, db: Database) -> None:
        self._db = db

    async def send(self, key: UUID, amount_minor: int, currency: str, account: str) -> ProviderResult:
        ending = account[-4:]
        if ending == "0003":
            raise ProviderTimeout("the sandbox account ends in 0003")
        failed = ending == "0001"
        async with self._db.write() as session:
            new = await session.scalar(
                insert(SandboxPayoutRow)
                .values(
                    key=key,
                    amount_minor=amount_minor,
                    currency=currency,
                    status=ProviderStatus.FAILED if failed else ProviderStatus.PAID,
                    reason="account_closed" if failed else "",
                )
                .on_conflict_do_nothing(index_elements=[SandboxPayoutRow.key])
                .returning(SandboxPayoutRow.key)
            )
        if ending == "0002" and new is not None:
            raise ProviderTimeout("the sandbox account ends in 0002")
        return await self.status(key)

    async def status(self, key: UUID) -> ProviderResult:
        async with self._db.write() as session:  # the primary: what was just sent must be seen
            row = await session.get(SandboxPayoutRow, key)
        if row is None:
            return ProviderResult(ProviderStatus.NOT_KNOWN)
        return ProviderResult(ProviderStatus(row.status), f"sandbox-{key}", row.reason)


PROVIDERS = {SandboxProvider.name: SandboxProvider}
DEFAULT_PROVIDER = SandboxProvider.name


def provider_of(name: str, db: Database) -> PayoutProvider:
    return PROVIDERS[name](db)
