"""PostgreSQL and Valkey out of wheels, and the supervisor that keeps them and our own processes running."""

from wapsi.embedded.errors import EmbeddedError
from wapsi.embedded.postgres import EmbeddedPostgres
from wapsi.embedded.state import StateFolder, ensure_port_free, load_or_create_secret
from wapsi.embedded.supervisor import Child, Event, EventKind, Supervisor
from wapsi.embedded.valkey import EmbeddedValkey

__all__ = [
    "Child",
    "EmbeddedError",
    "EmbeddedPostgres",
    "EmbeddedValkey",
    "Event",
    "EventKind",
    "StateFolder",
    "Supervisor",
    "ensure_port_free",
    "load_or_create_secret",
]
