"""For development: messages are printed instead of sent."""

import sys

from wapsi.messages.message import Message


class ConsoleSender:
    keeps_content = True

    async def send(self, message: Message) -> None:
        """To standard error, which is no log: what it says is a secret, and production has no such sender."""
        print(f"--- {message.channel} to {message.recipient}: {message.subject}\n{message.text}", file=sys.stderr)  # noqa: T201
