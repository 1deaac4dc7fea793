"""Schemathesis' engine on the REST application: its requests reach the application on the test's own loop.

The engine is synchronous and runs in a thread; pools and locks of the application belong to the loop that made them.
So the engine gets an ASGI application that hands each request over and brings the answer back.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import asyncpg
import orjson
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import Status, events, from_schema
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SQL = Callable[..., Awaitable[list[asyncpg.Record]]]
# Ours answer in milliseconds; what takes this long hangs. Sooner than the engine gives up, which could not say why.
ANSWER_TIMEOUT_S = 8
_WAITING = """
    SELECT pid, state, wait_event_type, wait_event, pg_blocking_pids(pid) AS blocked_by, left(query, 300) AS query
    FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'"""
# Business rules refuse much that fits the schema (positive data), and Schemathesis has one identity an operation
# (object level): tests/security tries who may see what.
LEFT_OUT = ("positive_data_acceptance", "missing_required_header", "object_level_authorization")
# `/merchants/{slug}:pause` is a path of its own to OpenAPI; to the router, with another method, it is a merchant whose
# slug is malformed: 422, where this check wants 405.
NOT_OF_VERBS = ("unsupported_method", "allow_header_conformance")
EXCERPT_BYTES = 600
PROBABILITY_OF_KNOWN = 0.7


async def what_waits(sql: SQL) -> str:
    """For whoever reads of a request without an answer: what the database was doing."""
    waits = [dict(row) for row in await sql(_WAITING)]
    return f"no answer in {ANSWER_TIMEOUT_S} s; meanwhile in the database: {waits or 'nothing'}"


class HandOver:
    """ASGI: passes each request to `app` on `loop`, whichever loop it comes from."""

    def __init__(self, app: ASGIApp, loop: asyncio.AbstractEventLoop, sql: SQL | None = None) -> None:
        self._app = app
        self._loop = loop
        self._sql = sql
        self.late: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return  # the engine takes this for an application without a lifespan: the test has started it
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        answered = asyncio.run_coroutine_threadsafe(self._answer(scope, body), self._loop)
        for message in await asyncio.wrap_future(answered):
            await send(message)

    async def _answer(self, scope: Scope, body: bytes) -> list[Message]:
        incoming: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
        sent: list[Message] = []
        done = asyncio.Event()

        async def receive() -> Message:
            if not incoming:
                await done.wait()  # the client stays: one that has left gets no stream
                return {"type": "http.disconnect"}
            return incoming.pop()

        async def send(message: Message) -> None:
            sent.append(message)
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                done.set()

        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                await self._app(scope, receive, send)
        except TimeoutError:
            waits = "" if self._sql is None else await what_waits(self._sql)
            self.late.append(f"{scope['method']} {scope['path']}: {waits}")
            raise
        return sent


@dataclass
class Outcome:
    """What a run saw: requests by phase, statuses by operation, each failure once with what reproduces it."""

    cases: Counter[str] = field(default_factory=Counter)
    statuses: dict[str, Counter[int]] = field(default_factory=dict)
    findings: dict[str, str] = field(default_factory=dict)

    def note(self, event: Any) -> None:
        if isinstance(event, events.FatalError):
            raise event.exception
        if isinstance(event, events.NonFatalError):
            self.findings.setdefault(f"{event.label}: {event.info.title}", str(event.info))
        if not isinstance(event, events.ScenarioFinished):
            return
        recorder = event.recorder
        for case_id, interaction in recorder.interactions.items():
            node = recorder.cases.get(case_id)
            label = node.value.operation.label if node is not None else recorder.label
            self.cases[event.phase.value] += 1
            if interaction.response is not None:
                self.statuses.setdefault(label, Counter())[interaction.response.status_code] += 1
            for check in recorder.checks.get(case_id, []):
                if check.name == "ensure_resource_availability" and _may_be_gone(recorder):
                    continue
                if check.status is Status.FAILURE and check.failure_info is not None:
                    self._find(label, check.name, check.failure_info, interaction.response)

    def _find(self, label: str, check: str, info: Any, response: Any) -> None:
        if ":" in label and check in NOT_OF_VERBS:
            return
        answer = "" if response is None else f"{response.status_code} {response.content[:EXCERPT_BYTES]!r}"
        text = "\n".join((info.failure.message, info.code_sample, answer))
        self.findings.setdefault(f"{label}: {check}: {info.failure.title}", text)

    @property
    def reached(self) -> int:
        """How many operations succeeded: behind the checks of the others was only test_walks.py."""
        return sum(any(200 <= one < 400 for one in seen) for seen in self.statuses.values())

    def report(self) -> str:
        return "\n\n".join(f"{title}\n{text}" for title, text in self.findings.items())


def _may_be_gone(recorder: Any) -> bool:
    """Whether what a sequence made may rightly not be there: the answer was an earlier one's, which an idempotency key
    brought back, or the caller has become another one since."""
    seen = [one for one in recorder.interactions.values() if one.response is not None]
    callers = {str(caller) for one in seen if (caller := one.request.headers.get("Authorization"))}
    return len(callers) > 1 or any("idempotency-replayed" in one.response.headers for one in seen)


def configuration(
    *,
    max_examples: int,
    is_exhaustive: bool,
    max_time_s: int | None,
    known: Mapping[str, Sequence[str]] = MappingProxyType({}),
    known_ids: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> SchemathesisConfig:
    """Without a time limit the same cases each time; with one, new cases until it is over.

    `known`: values that exist, by "path.slug" or "body.merchant"; `known_ids`: those of `{id}`, by how paths begin.
    """
    known, known_ids = _without_empty(known), _without_empty(known_ids)
    fields: dict[str, Any] = {
        "checks": {name: {"enabled": False} for name in LEFT_OUT},
        "continue-on-failure": True,
        "generation": {
            "max-examples": max_examples,
            "deterministic": max_time_s is None,
            "no-shrink": True,
            "database": "none",
            "with-security-parameters": False,
        },
        "phases": {
            "examples": {"enabled": False},
            "coverage": {"enabled": is_exhaustive},
            "fuzzing": {"enabled": True},
            "stateful": {"enabled": True},
        },
        "dictionaries": {_named(key): {"values": list(values)} for key, values in (known | known_ids).items()},
        "parameters": {key: _drawn_from(key) for key in known},
        "operations": [
            {"include-path-regex": f"^{prefix}", "parameters": {"path.id": _drawn_from(prefix)}} for prefix in known_ids
        ],
    }
    limits = {"seed": 1} if max_time_s is None else {"max-time": max_time_s}
    return SchemathesisConfig.from_dict(fields | limits)


def _without_empty(known: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
    return {key: values for key, values in known.items() if values}


def _drawn_from(key: str) -> dict[str, Any]:
    return {"dictionary": _named(key), "probability": PROBABILITY_OF_KNOWN}


def _named(key: str) -> str:
    return key.strip("/").replace("/", "-").replace(".", "-")


def load(document: Mapping[str, Any], app: ASGIApp, config: SchemathesisConfig) -> Any:
    """The schema, of a document of its own."""
    schema = schemathesis.openapi.from_dict(orjson.loads(orjson.dumps(document)), config=config)
    schema.app = app
    return schema


def sign_in(schema: Any, kinds: Mapping[str, str], make_token: Callable[[str], str]) -> None:
    """Sends each operation with a token of the kind of caller that it is for; with another one after a 401.

    `kinds` says the kind by "METHOD /path"; an operation that is not among them is public.
    """

    class Credentials:
        def get(self, case: Any, context: Any) -> str | None:
            kind = kinds.get(context.operation.label)
            return None if kind is None else make_token(kind)

        def set(self, case: Any, data: str, context: Any) -> None:
            case.headers["Authorization"] = f"Bearer {data}"

    keyed = schema.auth(cache_by_key=lambda _case, context: kinds.get(context.operation.label, ""), retry_on=[401])
    keyed(Credentials)


def run(schema: Any, outcome: Outcome) -> None:
    for event in from_schema(schema).execute():
        outcome.note(event)
