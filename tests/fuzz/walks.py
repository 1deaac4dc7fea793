"""Good requests and changed ones, one after another, by the same callers and about the same things."""

import asyncio
import json
import random
import re
from collections import Counter, defaultdict, deque
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

import httpx2
from schemathesis.checks import CHECKS
from schemathesis.core.failures import FailureGroup

from tests.fuzz import rest
from tests.fuzz.changes import Changes, Json
from tests.fuzz.recipes import Good, Recipes
from wapsi.errors import DomainError

# So many routes, then there are new callers: what the earlier ones did to themselves is not in the way for long.
STEPS = 12
CHANGED_OF_ONE = 3
EXCERPT_BYTES = 600
CHECKED = (
    *("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance"),
    "response_schema_conformance",
)
KNOWN_OF_A_KIND = 8


class Walks:
    """`statuses`: what each route answered; `findings`: what no route may do, each once, with the request."""

    def __init__(self, schema: Any, document: Json, recipes: Recipes, sql: rest.SQL, seed: int) -> None:
        self._schema = schema
        self._recipes = recipes
        self._sql = sql
        self._random = random.Random(seed)
        self._changes = Changes(document, seed)
        self._others: dict[str, deque[str]] = defaultdict(lambda: deque(maxlen=KNOWN_OF_A_KIND))
        self.statuses: defaultdict[str, Counter[int]] = defaultdict(Counter)
        self.findings: dict[str, str] = {}
        self.broken: dict[str, str] = {}

    @property
    def cases(self) -> int:
        return sum(seen.total() for seen in self.statuses.values())

    async def walk(self, labels: Iterable[str]) -> None:
        """Of each route a good request, perhaps that again, and changed ones."""
        for step, label in enumerate(labels):
            if step % STEPS == 0:
                await self._recipes.heal()
            await self._step(label)

    async def _step(self, label: str) -> None:
        try:
            good = await self._recipes.good(label)
        except (AssertionError, DomainError, LookupError) as error:
            # By what came before: a caller without an account any more. Told, if it is always so.
            self.broken[label] = f"no good request could be made: {error!r}"
            await self._recipes.heal()
            return
        # What it needs was made for one request. So the changed ones come first, at times, while all is there.
        changed = [self._changes.of(label, good, self._others) for _ in range(CHANGED_OF_ONE)]
        requests = [good, *changed] if self._random.random() < 0.5 else [*changed, good]
        if self._random.random() < 0.2:
            requests.append(good)
        for request in requests:
            if await self._send(label, request) == 401 and request.caller is not None:
                await self._recipes.heal()
        for name, value in good.path.items():
            self._others[name].append(value)

    async def _send(self, label: str, request: Good) -> int:
        """The status; 0 where there was no answer."""
        method, template = label.split(" ", 1)
        raw = request.raw if request.body is None else json.dumps(request.body).encode()
        headers = self._recipes.headers(request.caller)
        if raw is not None:
            headers["Content-Type"] = "application/json"
        if request.sign is not None:
            headers |= request.sign(raw or b"")
        path = template
        for name, value in request.path.items():
            path = path.replace(f"{{{name}}}", quote(value, safe=""))
        query = {name: value for name, value in request.query.items() if value is not None}
        sent = f"{method} {path} {query} as {request.caller}\n{(raw or b'')[:EXCERPT_BYTES]!r}"
        try:
            async with asyncio.timeout(rest.ANSWER_TIMEOUT_S):
                answer = await self._recipes.world.api.request(
                    method, path, params=query or None, headers=headers | request.headers, content=raw
                )
        except TimeoutError:
            self.findings.setdefault(f"{label}: no answer", f"{sent}\n{await rest.what_waits(self._sql)}")
            return 0
        self.statuses[label][answer.status_code] += 1
        if not any(value in ("", ".", "..") or "/" in value for value in request.path.values()):  # another route's path
            for title, text in await asyncio.to_thread(self._faults, label, answer):
                answered = f"{answer.status_code} {answer.content[:EXCERPT_BYTES]!r}"
                self.findings.setdefault(f"{label}: {title}", f"{sent}\n{text}\n{answered}")
        return answer.status_code

    def _faults(self, label: str, answer: httpx2.Response) -> list[tuple[str, str]]:
        method, path = label.split(" ", 1)
        try:
            checks = [CHECKS.get_one(name) for name in CHECKED]
            # A failure is told with the request, for which each part of the path needs a value.
            parts = dict.fromkeys(re.findall(r"\{(\w+)\}", path), "_")
            self._schema[path][method].Case(path_parameters=parts).validate_response(answer, checks=checks)
        except FailureGroup as group:
            return [(failure.title, failure.message) for failure in group.exceptions]
        return []

    @property
    def never_succeeded(self) -> list[str]:
        labels = self.statuses.keys() | self.broken.keys()
        return sorted(label for label in labels if not any(200 <= one < 400 for one in self.statuses[label]))

    def report(self) -> str:
        return "\n\n".join(f"{title}\n{text}" for title, text in self.findings.items())
