"""What a caller is told who asks too often."""

import math

from wapsi.errors import Exhausted


class RateLimited(Exhausted):
    """`retry_after_s`: in so many seconds it may be tried again."""

    reason = "RATE_LIMITED"

    def __init__(self, policy: str, retry_after_s: float) -> None:
        self.retry_after_s = max(1, math.ceil(retry_after_s))
        super().__init__(
            f"Too many requests. Try again in {self.retry_after_s} s.",
            policy=policy,
            retry_after_s=self.retry_after_s,
        )
