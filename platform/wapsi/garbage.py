"""The cyclic garbage collector, set for servers: measured, it took a third of the time of validating offers."""

import gc

# New containers less freed ones before the young generation is looked at. A chunk of a feed in work holds some 20,000,
# all of which are freed without the collector's help.
_YOUNG_OBJECTS = 50_000


def calm_collector() -> None:
    """Call it when a process has started: what lives now lives as long as the process, and need not be looked at."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 20, 50)
