"""Text messages through whatever can send them: a POST, signed by Standard Webhooks."""

import time

import httpcore2  # noqa: F401  # the first client would import it, and read files on the event loop
import httpx2
import orjson

from wapsi.messages.message import Message, MessageNotSent, MessageRefused
from wapsi.messages.tls import tls_context
from wapsi.security.webhooks import sign_webhook

TIMEOUT_S = 15.0
# Later, perhaps: too early, too many, or a conflict with itself.
_WORTH_ANOTHER = frozenset({408, 409, 425, 429})


class WebhookSender:
    """Posts {"id", "to", "text"}. The id is the message's, also in `webhook-id`: one that comes twice is sent once."""

    keeps_content = False

    def __init__(self, url: str, *, secret: str) -> None:
        self._url = url
        self._secret = secret

    async def send(self, message: Message) -> None:
        body = orjson.dumps({"id": str(message.id), "to": message.recipient, "text": message.text})
        headers = sign_webhook(self._secret, f"msg_{message.id.hex}", int(time.time()), body)
        headers["Content-Type"] = "application/json"
        try:
            async with httpx2.AsyncClient(
                verify=await tls_context(), timeout=TIMEOUT_S, follow_redirects=False, trust_env=False
            ) as client:
                answer = await client.post(self._url, content=body, headers=headers)
        except httpx2.HTTPError as error:
            raise MessageNotSent(f"The gateway could not be used ({type(error).__name__}).") from None
        if answer.is_success:
            return
        kind = MessageRefused if _is_final(answer.status_code) else MessageNotSent
        raise kind(f"The gateway answered {answer.status_code}.", status=answer.status_code)


def _is_final(status: int) -> bool:
    return 400 <= status < 500 and status not in _WORTH_ANOTHER and status not in (401, 403, 404)
