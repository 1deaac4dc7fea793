"""The cyclic garbage collector, set for servers: measured, it took a third of the time of validating offers."""

import contextlib
import gc
from collections.abc import Iterator

# New containers less freed ones before the young generation is looked at. A chunk of a feed in work holds some 20,000,
# all of which are freed without the collector's help. Who answers requests is not to stop for long: what is looked at
# are answers that stay in memory, some 4 ms of them.
_YOUNG_OF_JOBS = 50_000
_YOUNG_OF_SERVERS = 5_000


def calm_collector(*, serving: bool = False) -> None:
    """Call it when a process has started: what lives now lives as long as the process, and need not be looked at."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OF_SERVERS if serving else _YOUNG_OF_JOBS, 20, 50)


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """For what lives as long as the process: the collector neither looks at it while it comes in, nor at the end.

    Of a short command the first was a tenth of its start, and the second took 60 ms.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.set_threshold(_YOUNG_OF_JOBS, 20, 50)
        gc.enable()
