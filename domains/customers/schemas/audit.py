"""The audit log."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from pydantic import BaseModel

from wapsi.security.audit import AuditEntry


class AuditEntryOut(BaseModel):
    """`actor` is "operator:<id>", or "system" for the command line."""

    id: UUID
    at: datetime
    actor: str
    action: str
    target: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    trace_id: str | None

    @classmethod
    def of(cls, entry: AuditEntry) -> Self:
        return cls.model_validate(entry, from_attributes=True)
