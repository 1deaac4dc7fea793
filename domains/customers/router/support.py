"""For operators: one customer at a time, masked; suspending and reactivating them."""

from typing import Annotated
from uuid import UUID

from domains.customers import service
from domains.customers.router.routers import admin_router
from domains.customers.schemas.common import ContactIn
from domains.customers.schemas.support import CustomerCardOut, CustomerDecisionIn
from wapsi.http.deps import ReadDep, WriteDep, requires
from wapsi.http.problems import problem_responses
from wapsi.security.permissions import Permission
from wapsi.security.principal import Principal

CustomersReader = Annotated[Principal, requires(Permission.CUSTOMERS_READ)]
CustomersDecider = Annotated[Principal, requires(Permission.CUSTOMERS_DECIDE)]

_ONE = problem_responses(401, 403, 404, 422)
_DECIDED = problem_responses(401, 403, 404, 409, 422)


@admin_router.post("/customers:find", responses=_ONE)
async def find_customer(session: WriteDep, principal: CustomersReader, body: ContactIn) -> CustomerCardOut:
    """By the whole e-mail address or number, in the body because URLs stand in logs. Who looked at whom is audited."""
    contact = service.Contact.of(email=body.email, phone=body.phone)
    return CustomerCardOut.of(await service.find_customer(session, principal, contact))


@admin_router.get("/customers/{customer_id}", responses=_ONE)
async def get_customer(session: ReadDep, _principal: CustomersReader, customer_id: UUID) -> CustomerCardOut:
    return CustomerCardOut.of(await service.get_customer_card(session, customer_id))


@admin_router.post("/customers/{customer_id}:suspend", responses=_DECIDED)
async def suspend_customer(
    session: WriteDep, principal: CustomersDecider, customer_id: UUID, body: CustomerDecisionIn
) -> CustomerCardOut:
    """Ends the customer's sessions; no sign-in, no click and no withdrawal until reactivated."""
    return CustomerCardOut.of(await service.suspend_customer(session, principal, customer_id, body.reason_code))


@admin_router.post("/customers/{customer_id}:reactivate", responses=_DECIDED)
async def reactivate_customer(
    session: WriteDep, principal: CustomersDecider, customer_id: UUID, body: CustomerDecisionIn
) -> CustomerCardOut:
    return CustomerCardOut.of(await service.reactivate_customer(session, principal, customer_id, body.reason_code))
