"""Runs the golden corpus against a server, with this project's client or with yours. README.md says how.

Needs wapsi.producer and nothing else of the project.
"""

import argparse
import asyncio
import functools
import json
import shlex
import sys
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from google.protobuf import json_format

from wapsi.producer import Producer
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb

FOLDER = Path(__file__).parent
MODES = {"full": pb.SYNC_MODE_FULL, "incremental": pb.SYNC_MODE_INCREMENTAL}
ITEMS = ".items.jsonl"
_SHOWN = ("title", "price_minor", "sale_price_minor", "currency", "availability")


@dataclass(frozen=True)
class Step:
    """One feed of a case. `expected` has what case.json says of it."""

    name: str
    feed: Path
    mode: str
    stated: datetime
    expected: Mapping[str, Any]

    @property
    def items(self) -> Path:
        """The feed's items, one a line, in protobuf's JSON. Some steps are nothing but items."""
        return self.feed if self.feed.name.endswith(ITEMS) else self.feed.with_name(self.feed.name + ITEMS)

    @property
    def is_readable(self) -> bool:
        return "unreadable" not in self.expected


@dataclass(frozen=True)
class Case:
    """`name` is the folder's, such as good/shopify. `options` say how the feeds are read."""

    name: str
    options: Mapping[str, Any]
    steps: list[Step]

    def merchant(self, prefix: str) -> str:
        """The slug of the merchant that the case has for itself."""
        return f"{prefix}-{self.name.rpartition('/')[2]}"


def load() -> list[Case]:
    cases = []
    for file in sorted(FOLDER.rglob("case.json")):
        name = file.parent.relative_to(FOLDER).as_posix()
        case = json.loads(file.read_text(encoding="utf-8"))
        steps = [
            Step(
                name=f"{name} {step['feed']}",
                feed=file.parent / step["feed"],
                mode=step["mode"],
                stated=datetime.fromisoformat(step["stated"]),
                expected=step["expected"],
            )
            for step in case["steps"]
        ]
        cases.append(Case(name, case.get("options", {}), steps))
    return cases


def read_items(file: Path) -> Iterator[pb.OfferItem]:
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            yield json_format.Parse(line, pb.OfferItem())


def outcome(sync: pb.Sync, issues: list[pb.SyncIssue]) -> dict[str, Any]:
    """A sync as case.json writes it: counters that are not 0, and of an issue what does not depend on wording."""
    return {
        "state": pb.SyncState.Name(sync.state).removeprefix("SYNC_STATE_").lower(),
        "reason": sync.reason,
        "counters": {field.name: value for field, value in sync.counters.ListFields()},
        "issues": [
            {
                "line": found.line,
                "offer_id": found.offer_id,
                "field": found.issue.field,
                "code": found.issue.code,
                "severity": pb.Severity.Name(found.issue.severity).removeprefix("SEVERITY_").lower(),
            }
            for found in issues
        ],
    }


def catalogue(offers: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What GET /v1/offers/… shows of each that GET /v1/offers?merchant=… lists, as case.json writes it: by offer_id."""
    return {
        offer["offer_id"]: {name: offer[name] for name in _SHOWN if offer[name] is not None}
        for offer in sorted(offers, key=lambda offer: offer["offer_id"])
    }


def differences(expected: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    return [
        f"{name}: expected {json.dumps(expected[name], ensure_ascii=False)}\n"
        f"{' ' * len(name)}     found {json.dumps(found[name], ensure_ascii=False)}"
        for name in found
        if expected[name] != found[name]
    ]


async def _run_step(arguments: argparse.Namespace, producer: Producer, merchant: str, number: int, step: Step) -> None:
    request_id = f"corpus {number} {step.feed.name}"
    items = functools.partial(read_items, step.items)
    if arguments.push:
        values = {
            "target": arguments.target,
            "key": arguments.key,
            "merchant": merchant,
            "mode": step.mode,
            "as_of": step.stated.isoformat(),
            "request_id": request_id,
            "items": str(step.items),
        }
        command = [part.format(**values) for part in shlex.split(arguments.push)]
        process = await asyncio.create_subprocess_exec(*command)
        if await process.wait():
            raise SystemExit(f"{step.name}: {command[0]} ended with {process.returncode}")
        # A repeated request_id leads to the sync that the command has finished: there is nothing to push any more.
        items = functools.partial(iter, ())
    sync = await producer.push(merchant, items, request_id=request_id, mode=MODES[step.mode], as_of=step.stated)
    found = outcome(sync, await producer.issues(sync.sync_id, limit=1000))
    if arguments.api:
        listed = await _get(f"{arguments.api}/v1/offers?merchant={merchant}&limit=100")
        found["catalogue"] = catalogue(
            [await _get(f"{arguments.api}/v1/offers/{offer['id']}") for offer in listed["items"]]
        )
    wrong = differences(step.expected, found)
    print(f"{'✗' if wrong else '✓'} {step.name}", *wrong, sep="\n  ")
    if wrong:
        raise SystemExit(1)


async def _get(url: str) -> Any:
    with await asyncio.to_thread(urllib.request.urlopen, url) as answer:
        return json.load(answer)


async def _run(arguments: argparse.Namespace, cases: list[Case]) -> None:
    async with Producer(arguments.target, arguments.key) as producer:
        for case in cases:
            for number, step in enumerate(case.steps, 1):
                await _run_step(arguments, producer, case.merchant(arguments.prefix), number, step)
    print(f"{len(cases)} cases hold.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", help="host:port of the gRPC server")
    parser.add_argument("--key", help="a producer key for all merchants of the corpus")
    parser.add_argument("--api", help="the REST server's address; without it catalogues are not compared")
    parser.add_argument("--prefix", default="corpus", help="of the merchants' slugs; another one for another run")
    parser.add_argument("--only", default="", help="cases whose names have this in them")
    parser.add_argument("--push", help="a command that pushes {items}; without it the project's own client does")
    parser.add_argument("--merchants", action="store_true", help="print the merchants that are needed, and stop")
    arguments = parser.parse_args()
    cases = [case for case in load() if arguments.only in case.name and all(step.is_readable for step in case.steps)]
    if arguments.merchants:
        print(*(case.merchant(arguments.prefix) for case in cases), sep="\n")
        return
    if not arguments.target or not arguments.key:
        sys.exit("Give --target and --key.")
    asyncio.run(_run(arguments, cases))


if __name__ == "__main__":
    main()
