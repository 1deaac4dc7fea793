"""How a domain hands its servicer to the server: with a permission for every method, or the server does not start."""

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.descriptor import ServiceDescriptor

from wapsi.security.permissions import Permission
from wapsi.security.principal import Principal

_principal: ContextVar[Principal] = ContextVar("principal")


class UndeclaredMethod(Exception):
    """A method of the proto that names no permission, or a permission for a method that is not there."""


@dataclass(frozen=True, slots=True)
class RPCService:
    descriptor: ServiceDescriptor
    add_to_server: Callable[[Any, grpc.aio.Server], None]
    servicer: object
    permissions: Mapping[str, Permission]

    def method_permissions(self) -> dict[str, Permission]:
        """{"/package.Service/Method": permission}. Raises UndeclaredMethod."""
        methods = {method.name for method in self.descriptor.methods}
        if methods != set(self.permissions):
            odd = ", ".join(sorted(methods ^ set(self.permissions)))
            raise UndeclaredMethod(f"{self.descriptor.full_name}: methods and permissions differ in {odd}")
        return {f"/{self.descriptor.full_name}/{name}": needed for name, needed in self.permissions.items()}


def current_principal() -> Principal:
    """Who makes the call that is being handled."""
    return _principal.get()


def set_current_principal(principal: Principal) -> None:
    _principal.set(principal)
