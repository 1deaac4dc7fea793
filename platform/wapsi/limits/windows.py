"""A sliding window out of two counters: what the window before used counts by the share of it still in view.

The same sums as the scripts of `limits` do on the server.
"""

import math
from collections import OrderedDict
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Usage:
    """Counts of the window before and of the one that runs, and in how many seconds each is out of view."""

    previous: int
    previous_ttl_s: float
    current: int
    current_ttl_s: float

    def used(self, window_s: int) -> int:
        return math.floor(self.previous * max(0.0, self.previous_ttl_s) / window_s) + self.current

    def wait_s(self, quota: int, window_s: int, cost: int = 1) -> float:
        """In how many seconds `cost` more would fit, if nothing else came; 0: now."""
        room = quota - cost + 1
        if room <= 0:
            return float(window_s)
        if self.used(window_s) < room:
            return 0.0
        if self.current < room:
            # The window before has to fade until there is room beside what has come in this one.
            return max(0.0, self.previous_ttl_s - (room - self.current) * window_s / self.previous)
        left_s = max(0.0, self.current_ttl_s - window_s)
        return left_s + window_s * (1 - room / self.current)


class Windows:
    """Counters in memory, of at most `keys_max` keys: those that were used longest ago are forgotten first."""

    def __init__(self, keys_max: int) -> None:
        self._keys_max = keys_max
        self._counts: OrderedDict[str, tuple[int, int, int]] = OrderedDict()

    def usage(self, key: str, window_s: int, now_s: float) -> Usage:
        number, previous, current = self._at(key, window_s, now_s)
        left_s = (number + 1) * window_s - now_s
        return Usage(previous, left_s, current, left_s + window_s)

    def add(self, key: str, window_s: int, now_s: float, amount: int) -> None:
        number, previous, current = self._at(key, window_s, now_s)
        self._counts[key] = (number, previous, current + amount)
        self._counts.move_to_end(key)
        if len(self._counts) > self._keys_max:
            self._counts.popitem(last=False)

    def forget(self, key: str) -> None:
        self._counts.pop(key, None)

    def _at(self, key: str, window_s: int, now_s: float) -> tuple[int, int, int]:
        now_number = int(now_s // window_s)
        number, previous, current = self._counts.get(key, (now_number, 0, 0))
        if number == now_number:
            return number, previous, current
        return now_number, current if number == now_number - 1 else 0, 0
