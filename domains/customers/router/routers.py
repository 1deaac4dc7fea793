"""The domain's two routers; the modules beside this one add their routes to them."""

from typing import Annotated

from fastapi import APIRouter, Request

from wapsi.http.deps import requires
from wapsi.http.problems import problem_responses
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
