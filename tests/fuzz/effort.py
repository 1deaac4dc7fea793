"""How much is tried: what `make test` has time for, or so many minutes of it, which `make fuzz` says.

In the long run a target goes on, with new examples, until its share of the time is over, however slow the machine is.
"""

import os
import time
from collections.abc import Iterator

from hypothesis import HealthCheck, settings

MINUTES = float(os.environ.get("WAPSI_FUZZ_MINUTES", "0"))
IS_LONG = MINUTES > 0


def rounds(share: float) -> Iterator[None]:
    """One, and in the long run those that begin within `share` of the time. Two processes share the targets."""
    ends_s = time.monotonic() + share * MINUTES * 60
    yield
    while time.monotonic() < ends_s:
        yield


def seconds_of(share: float) -> float:
    return share * MINUTES * 60


def a_round(examples: int) -> settings:
    """The same examples each time in `make test`, others each round in the long run."""
    return settings(
        max_examples=examples,
        database=None,
        derandomize=not IS_LONG,
        suppress_health_check=list(HealthCheck),
    )
