"""The error of a feed as a whole."""


class FeedError(Exception):
    """The file cannot be read, or not any further.

    `reason` is stable and UPPER_SNAKE, `message` says what to do, `line` (1-based) is where it is known.
    """

    def __init__(self, reason: str, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.line = line
