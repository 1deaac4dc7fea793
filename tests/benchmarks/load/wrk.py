"""wrk as a program of this machine, and what it measured."""

import asyncio
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.benchmarks.registry import Skipped

_SCRIPTS = Path(__file__).parent
CONNECTIONS = 32


class LoadBroken(Exception):
    """wrk did not do what it was told, and what it said."""


@dataclass(frozen=True, slots=True)
class Measured:
    requests: int
    seconds: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    errors: int
    error_words: str

    @property
    def rate_per_s(self) -> float:
        return self.requests / self.seconds

    @classmethod
    def of(cls, line: str) -> Self:
        values = json.loads(line)
        kinds = ("connect", "read", "write", "status")
        counts = {**{kind: values[f"{kind}_errors"] for kind in kinds}, "timeouts": values["timeouts"]}
        return cls(
            requests=values["requests"],
            seconds=values["seconds"],
            **{name: values[name] for name in ("p50_ms", "p95_ms", "p99_ms", "max_ms")},
            errors=sum(counts.values()),
            error_words=", ".join(f"{count} {kind}" for kind, count in counts.items() if count),
        )


def require_wrk() -> str:
    """The program. Raises Skipped."""
    program = shutil.which("wrk")
    if program is None:
        raise Skipped("wrk is not installed (Debian's and Homebrew's package wrk)")
    return program


async def pages(url: str, paths: Path, *, seconds: float, first: int = 0, connections: int = CONNECTIONS) -> Measured:
    """GET of the file's paths in turn from the `first`-th on (from 0)."""
    return await _run("pages.lua", url, [str(paths), str(first)], seconds, connections)


async def mix(
    url: str,
    lists: Path,
    *,
    seconds: float,
    seed: int,
    shares: Sequence[int],
    connections: int = CONNECTIONS,
) -> Measured:
    """The shares are those of catalogue, offer, click, wallet and write."""
    return await _run("mix.lua", url, [str(lists), str(seed), *map(str, shares)], seconds, connections)


async def _run(script: str, url: str, arguments: list[str], seconds: float, connections: int) -> Measured:
    """Raises Skipped, LoadBroken."""
    options = ["-t", "1", "-c", str(connections), "-d", f"{max(1, round(seconds))}s", "--timeout", "10s"]
    process = await asyncio.create_subprocess_exec(
        *(require_wrk(), *options, "-s", str(_SCRIPTS / script), url, "--", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        said = (await process.communicate())[0].decode(errors="replace")
    except BaseException:
        process.kill()
        raise
    lines = [line for line in said.splitlines() if line.startswith('{"requests"')]
    if process.returncode or not lines:
        raise LoadBroken(f"wrk ended with status {process.returncode}: {said.strip()[-500:]}")
    return Measured.of(lines[-1])
