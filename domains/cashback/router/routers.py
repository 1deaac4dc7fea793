"""The domain's two routers; the modules beside this one add their routes to them."""

from typing import Annotated

from fastapi import APIRouter

from wapsi.http.deps import requires
from wapsi.security.permissions import Permission
from wapsi.security.principal import Principal

router = APIRouter()
admin_router = APIRouter(prefix="/v1/admin", tags=["admin"])

Customer = Annotated[Principal, requires(Permission.OWN_ACCOUNT)]
