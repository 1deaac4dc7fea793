"""Starts `make up` from a clean clone on free ports, walks the README's tour as a newcomer would, and stops it.

    python scripts/smoke.py [--here]     --here: in this checkout instead of a clone

What the README tells people to type is what runs: its `sh` blocks, line by line, in one shell.
"""
# ruff: noqa: S603, S607, T201 - runs other programs, prints, and asks a loopback address

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
START_LIMIT_S = 420
WARM_START_LIMIT_S = 10
STOP_LIMIT_S = 5
TOUR_LIMIT_S = 120


def main() -> None:
    with contextlib.ExitStack() as stack:
        if "--here" in sys.argv:
            checkout = ROOT
        else:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wapsi-smoke-")))
            checkout = folder / "wapsi"
            subprocess.run(["git", "clone", "--quiet", str(ROOT), str(checkout)], check=True)
        ports = free_port(), free_port()
        with demo(checkout, ports) as took_s:
            say(f"make up: from nothing to ready in {took_s:.1f} s")
            walk(checkout, ports)
            check_back_office(checkout, ports)
            check_feeds(checkout, ports)
        with demo(checkout, ports) as took_s:
            expect(took_s < WARM_START_LIMIT_S, f"the second start took {took_s:.1f} s")
            say(f"make up again: ready in {took_s:.1f} s")
            [found] = get(ports, "/v1/offers?q=kurta&limit=1")["items"]
            say(f"the state was kept: {found['title']!r}")
    print("smoke: passed")


@contextlib.contextmanager
def demo(checkout: Path, ports: tuple[int, int]) -> Iterator[float]:
    """`make up` until the block ends, then Ctrl-C; yields the seconds that it took to be ready."""
    environment = {**os.environ, "WAPSI_HTTP_PORT": str(ports[0]), "WAPSI_GRPC_PORT": str(ports[1])}
    log = checkout / ".smoke.log"
    started_s = time.monotonic()
    with log.open("w") as output:
        process = subprocess.Popen(
            ["make", "up"], cwd=checkout, env=environment, stdout=output, stderr=output, start_new_session=True
        )
        try:
            while "Wapsi is ready" not in log.read_text():
                expect(process.poll() is None, f"make up ended with status {process.returncode}:\n{log.read_text()}")
                expect(time.monotonic() - started_s < START_LIMIT_S, f"not ready in time:\n{log.read_text()}")
                time.sleep(0.1)
            yield time.monotonic() - started_s
        finally:
            stopping_s = time.monotonic()
            # What a terminal does at Ctrl-C: the signal goes to make and to wapsi.
            os.killpg(process.pid, signal.SIGINT)
            process.wait(timeout=60)
            took_s = time.monotonic() - stopping_s
    expect("Stopped." in log.read_text(), f"no clean stop:\n{log.read_text()}")
    expect(took_s < STOP_LIMIT_S, f"stopping took {took_s:.1f} s")
    say(f"Ctrl-C: stopped in {took_s:.1f} s")


def walk(checkout: Path, ports: tuple[int, int]) -> None:
    """The README's tour, from the offer to the explanation of the reward."""
    said = run_block(checkout, ports, "tour")
    redirect = re.search(r"^302 (\S+)$", said, re.M)
    click = re.search(r'"click_id": ?"([0-9a-f-]{36})"', said)
    expect(redirect is not None and click is not None, f"no redirect:\n{said}")
    assert redirect is not None
    assert click is not None
    expect(click[1] in redirect[1], f"the merchant's link lacks the click id: {redirect[1]}")
    explained: dict[str, Any] = json.loads(said[said.rindex("\n{\n") :])
    expect(explained["reward"]["state"] == "confirmed", explained["reward"])
    states = [(change["entity"], change["to_state"]) for change in explained["changes"]]
    for step in (("reward", "pending"), ("reward", "confirmed")):
        expect(step in states, f"{step} is missing in {states}")
    expect('"state":"succeeded"' in said, f"the payout did not succeed:\n{said}")
    expect(bool(explained["trace_ids"]), "no trace id")
    for chapter in explained["story"]:
        say(f"  {chapter['text']}")


def run_block(checkout: Path, ports: tuple[int, int], name: str) -> str:
    """Runs the README's block of that name, as one shell; what it printed."""
    readme = (checkout / "README.md").read_text()
    [script] = re.findall(rf"^```sh {name}\n(.*?)^```", readme, re.M | re.S)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=checkout,
        env={**os.environ, "API": f"http://127.0.0.1:{ports[0]}"},
        capture_output=True,
        text=True,
        timeout=TOUR_LIMIT_S,
        check=False,
    )
    expect(done.returncode == 0, f"the README's {name} failed:\n{done.stdout}\n{done.stderr}")
    return done.stdout + (done.stderr if name != "tour" else "")


def check_back_office(checkout: Path, ports: tuple[int, int]) -> None:
    """An operator signs in with a second factor, and sees what was paid."""
    said = run_block(checkout, ports, "back-office")
    expect("'state': 'succeeded'" in said and "'scopes'" in said, f"the operator sees nothing:\n{said}")


def check_feeds(checkout: Path, ports: tuple[int, int]) -> None:
    """The README's own feed, one more by the demo's key, and the ledger at the end of it all."""
    said = run_block(checkout, ports, "feed")
    expect("AMBIGUOUS_PRICE" in said, f"the bad row is not named:\n{said}")
    feed = checkout / ".smoke.jsonl"
    feed.write_text(
        json.dumps(
            {
                "id": "SMOKE-1",
                "title": "Smoked tea",
                "link": "https://sabz-bazaar.example/smoked-tea",
                "price": "PKR 450.00",
                "availability": "in_stock",
            }
        )
    )
    wapsi = str(checkout / ".venv/bin/wapsi")
    push = [wapsi, "feed", "push", feed.name, "--merchant", "sabz-bazaar", "--mode", "incremental"]
    done = subprocess.run(push, cwd=checkout, capture_output=True, text=True, timeout=60, check=False)
    expect(done.returncode == 0, f"feed push failed:\n{done.stderr}")
    ledger = subprocess.run(
        [wapsi, "ledger", "verify"], cwd=checkout, capture_output=True, text=True, timeout=60, check=False
    )
    expect(ledger.returncode == 0, f"the ledger is not sound:\n{ledger.stdout}")
    say(ledger.stdout.strip())


def get(ports: tuple[int, int], path: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{ports[0]}{path}", timeout=10) as answer:
        return json.load(answer)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def say(text: str) -> None:
    print(f"smoke: {text}", flush=True)


def expect(condition: bool, otherwise: Any) -> None:
    if not condition:
        print(f"smoke: FAILED: {otherwise}", flush=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
