"""The cyclic garbage collector, set for servers: measured, it took a third of the time of validating offers."""

import gc

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
