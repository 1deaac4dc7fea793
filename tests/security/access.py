"""Reads access.toml, and judges what callers were told by it."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.security.callers import BY_PASSWORD, CALLERS, KINDS, OWNERS

_TABLE = Path(__file__).with_name("access.toml")
# Of somebody who may not, whatever they ask for; every other answer was given to a caller that was let in.
NO_CREDENTIALS, BAD_CREDENTIALS, NO_PERMISSION = "CREDENTIALS_MISSING", "CREDENTIALS_INVALID", "PERMISSION_MISSING"
NO_SECOND_FACTOR = "SECOND_FACTOR_NEEDED"
TURNED_AWAY = {NO_CREDENTIALS, BAD_CREDENTIALS, NO_PERMISSION, NO_SECOND_FACTOR}


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    need: str
    may: tuple[str, ...]
    whose: str = ""
    stranger: str = ""
    shows: str = ""
    answer: int | str | None = None
    things: Mapping[str, str] | None = None
    body: Any = None
    raw: str | None = None
    query: str = ""
    throwaway: bool = False

    @property
    def is_public(self) -> bool:
        return self.need == "public"

    @property
    def may_not(self) -> tuple[str, ...]:
        return tuple(caller for caller in CALLERS if caller not in self.may)

    def refusal(self, caller: str) -> str:
        """The reason that somebody who may not is told: what more it would take, where something would do."""
        return NO_SECOND_FACTOR if BY_PASSWORD.get(caller) in self.may else NO_PERMISSION

    @property
    def other(self) -> str:
        return OWNERS[self.whose]

    def in_order(self) -> list[str]:
        """Who may, the owner first: what one of them does may be done by then when the next one comes."""
        return sorted((caller for caller in self.may if not self.whose or caller != self.other), key=self._rank)

    def _rank(self, caller: str) -> tuple[bool, int]:
        return caller != self.whose, CALLERS.index(caller)


def permissions() -> dict[str, set[str]]:
    """{permission: kinds of callers}"""
    return {name: set(kinds) for name, kinds in _read()["permissions"].items()}


def rows(section: str) -> list[Row]:
    table = _read()
    return [_row(name, fields, table["permissions"]) for name, fields in table[section].items()]


def _read() -> dict[str, Any]:
    return tomllib.loads(_TABLE.read_text())


def _row(name: str, fields: dict[str, Any], allowed: Mapping[str, list[str]]) -> Row:
    fields = dict(fields)
    need = fields.pop("need")
    may = CALLERS if need == "public" else tuple(caller for kind in allowed[need] for caller in KINDS[kind])
    row = Row(name, need, may, things=fields.pop("with", {}), **fields)
    assert bool(row.whose) == bool(row.stranger or row.shows), f"{name}: whose goes with stranger or shows"
    assert not row.whose or {row.whose, row.other} <= set(row.may), f"{name}: its owner may not even ask"
    return row
