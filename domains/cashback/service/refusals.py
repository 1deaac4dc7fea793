"""How the handling of an event ends where it has no effect. Never leaves the service: the inbox row tells it."""

from domains.cashback.states import EventOutcome


class Refused(Exception):
    """The event cannot be taken: a stable reason, and words."""

    def __init__(self, reason: str, message: str, outcome: EventOutcome = EventOutcome.REFUSED) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.outcome = outcome


class Ignored(Refused):
    """The event says nothing new, or what is known better."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(reason, message, EventOutcome.IGNORED)
