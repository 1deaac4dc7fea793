"""A count that a periodic job takes, now in this process and then in another: an old one says nothing."""

import time
from collections.abc import Iterable

from opentelemetry.metrics import CallbackOptions, Observation


class LatelyCounted:
    """What this process counted, for as long as that is true: `every_s` is how often the job runs somewhere."""

    def __init__(self, every_s: int) -> None:
        self._good_for_s = 2 * every_s
        self._count = 0
        self._taken_s: float | None = None

    def take(self, count: int) -> None:
        self._count, self._taken_s = count, time.monotonic()

    def observe(self, _options: CallbackOptions) -> Iterable[Observation]:
        if self._taken_s is not None and time.monotonic() - self._taken_s < self._good_for_s:
            yield Observation(self._count)
