"""The domain's two routers; the modules beside this one add their routes to them."""

from typing import Annotated

from fastapi import APIRouter, Request

from domains.customers.errors import PhoneUnavailable
from domains.customers.schemas.common import ContactIn
from domains.customers.service import Contact
from wapsi.http.deps import requires
from wapsi.http.problems import problem_responses
from wapsi.runtime import Runtime
from wapsi.security.permissions import Permission
from wapsi.security.principal import Principal

router = APIRouter(tags=["customers"])
admin_router = APIRouter(prefix="/v1/admin", tags=["admin"])

Customer = Annotated[Principal, requires(Permission.OWN_ACCOUNT)]
# Of all permissions, this is the one that every operator's role has.
Operator = Annotated[Principal, requires(Permission.BACK_OFFICE)]

REFUSED = problem_responses(401, 403)


def user_agent_of(request: Request) -> str:
    return request.headers.get("user-agent", "")


def contact_in(runtime: Runtime, body: ContactIn) -> Contact:
    """The contact that a body names. Raises MobileNumberInvalid, and PhoneUnavailable where nothing sends texts."""
    contact = Contact.of(email=body.email, phone=body.phone)
    if contact.phone is not None and runtime.settings.sms_target is None:
        raise PhoneUnavailable
    return contact
