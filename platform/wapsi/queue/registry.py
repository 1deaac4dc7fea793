"""Which kinds of job there are and how each is run. Actors register themselves with `@job`."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wapsi.db import WriteSession
    from wapsi.queue.jobs import Job

Handler = Callable[["Job"], Awaitable[None]]
OnDead = Callable[["WriteSession", Mapping[str, Any], str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class JobKind:
    """An attempt may take `time_limit_s`. `every_s` makes it periodic.

    `on_dead(session, args, error)` runs when the last attempt has failed.
    """

    name: str
    queue: str
    handler: Handler
    max_attempts: int
    lease_s: int
    time_limit_s: int
    every_s: int | None
    on_dead: OnDead | None


@dataclass(frozen=True, slots=True)
class QueueTraits:
    """`at_once`: a worker runs so many jobs of this queue at a time, None for as many as it has threads for.
    `prompt`: somebody waits for them, so an idle worker looks for new ones often.
    """

    at_once: int | None = None
    prompt: bool = False


QUEUES: dict[str, QueueTraits] = {}


def limit_queue(name: str, *, at_once: int, prompt: bool = False) -> None:
    """Long jobs of one queue must not take all threads of a worker from the others."""
    QUEUES[name] = QueueTraits(at_once, prompt)


class DuplicateJobKind(Exception):
    """Two actors registered under one name."""


JOB_KINDS: dict[str, JobKind] = {}


def job(
    name: str,
    *,
    queue: str = "default",
    max_attempts: int = 5,
    lease_s: int = 30,
    time_limit_s: int = 600,
    every_s: int | None = None,
    on_dead: OnDead | None = None,
) -> Callable[[Handler], Handler]:
    """Registers an actor. An attempt is retried after any exception but `jobs.Permanent`, with growing pauses."""

    def register(handler: Handler) -> Handler:
        if name in JOB_KINDS:
            raise DuplicateJobKind(name)
        JOB_KINDS[name] = JobKind(name, queue, handler, max_attempts, lease_s, time_limit_s, every_s, on_dead)
        return handler

    return register


class UnknownJobKind(Exception):
    """Something was enqueued under a name that no actor has."""


def kind_of(name: str) -> JobKind:
    """Raises UnknownJobKind: the module with its actor was not imported by this process."""
    try:
        return JOB_KINDS[name]
    except KeyError:
        raise UnknownJobKind(f"No actor is registered as {name!r}.") from None
