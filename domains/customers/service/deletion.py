"""The end of an account: money is settled, the person is removed, what the books need stays without them."""

from datetime import timedelta
from uuid import UUID

from domains.customers.models import CustomerRow, CustomerStatus
from wapsi.clock import now
from wapsi.db import WriteSession
from wapsi.personal_data import PersonalData
from wapsi.queue import outbox
from wapsi.security import audit
from wapsi.security.principal import Principal

ERASE_AGAIN = "customers.erase_again"
# Longer than any request, and than an access token that was made a moment before.
ERASE_AGAIN_AFTER = timedelta(minutes=20)


async def delete_account(
    session: WriteSession, personal_data: PersonalData, principal: Principal, *, forfeit: bool
) -> None:
    """`forfeit`: cashback that is left is given up. Whoever calls has made sure that it is the customer who asks.

    Raises CustomerNotFound, CustomerSuspended, and what holders of personal data refuse by while money is under way.
    """
    settled = await personal_data.settle(session, principal.id, forfeit=forfeit)
    await personal_data.erase(session, principal.id)
    await audit.record(
        session,
        principal,
        action="customer.deleted",
        target=f"customer:{principal.id}",
        before={"status": CustomerStatus.ACTIVE},
        after={"status": CustomerStatus.DELETED, **settled},
    )
    # A request that began before may still write something after it, such as a click with its browser.
    await outbox.enqueue(session, ERASE_AGAIN, {"customer_id": str(principal.id)}, due_at=now() + ERASE_AGAIN_AFTER)


async def erase_again(session: WriteSession, personal_data: PersonalData, customer_id: UUID) -> None:
    """Does nothing to an account that is not deleted."""
    row = await session.get(CustomerRow, customer_id)
    if row is not None and row.status == CustomerStatus.DELETED:
        await personal_data.erase(session, customer_id)
