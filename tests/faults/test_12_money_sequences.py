"""Reliability 12: thousands of random sequences of all that moves money, longer ones than in `make test`.

`WAPSI_MONEY_SEQUENCES` and `WAPSI_MONEY_STEPS` say how many and how long.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SEQUENCES, STEPS = 3000, 30


@pytest.mark.timeout(3600)
def test_no_sequence_of_events_breaks_an_invariant() -> None:
    environment = {"WAPSI_MONEY_SEQUENCES": str(SEQUENCES), "WAPSI_MONEY_STEPS": str(STEPS)} | os.environ
    arguments = ["-n2", "-q", "tests/domains/cashback/test_money_machine.py"]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stdout[-20_000:]
    print(f"{environment['WAPSI_MONEY_SEQUENCES']} sequences of up to {environment['WAPSI_MONEY_STEPS']} steps: sound")
