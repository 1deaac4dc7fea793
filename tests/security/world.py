"""Two customers, two producers, an operator of each role, and things of the first customer and the first producer."""

import re
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest

from tests.security.callers import SQL
from tests.security.money_things import MoneyThings
from wapsi.runtime import Runtime
from wapsi.security.permissions import OperatorRole

_PLACEHOLDER = re.compile(r"\{([a-z0-9_]+)\}")


class World(MoneyThings):
    """`await thing("payout_id")` gives something anew of what the table of routes asks for, as text."""

    async def filled(self, template: Any, things: dict[str, str]) -> Any:
        """The template with each {name} in it replaced; `things` holds those of this row."""
        if isinstance(template, dict):
            return {key: await self.filled(value, things) for key, value in template.items()}
        if isinstance(template, list):
            return [await self.filled(value, things) for value in template]
        if not isinstance(template, str):
            return template
        for name in _PLACEHOLDER.findall(template):
            if name not in things:
                things[name] = await self.thing(name)
        return _PLACEHOLDER.sub(lambda match: things[match[1]], template)

    async def thing(self, name: str) -> str:
        make: Callable[[], Awaitable[str]] = getattr(self, f"_{name}")
        return await make()


@pytest.fixture
async def world(
    api: httpx2.AsyncClient,
    runtime: Runtime,
    admin_sql: SQL,
    drain: Callable[[], Awaitable[int]],
    operator: Callable[[OperatorRole], Awaitable[dict[str, str]]],
) -> World:
    """Two customers, two producers, an operator of each role, and things of the first ones."""
    world = World(api, runtime, admin_sql, drain, operator)
    await world.begin()
    return world
