"""Our own shape: one sale as JSON, in minor units. `event_id` may name the message; signed, webhook-id does."""

from domains.cashback.service.adapters.reading import adapted, event_id
from domains.cashback.service.adapters.shapes import AdaptedEvent, AdapterSettings, Postback
from domains.cashback.service.events import Malformed
from wapsi import strict_json

KIND = "standard"
MAX_ID_LENGTH = 200


def adapt(postback: Postback, settings: AdapterSettings) -> list[AdaptedEvent]:
    try:
        strict_json.check(postback.body)
    except strict_json.NotStrict as fault:
        raise Malformed(str(fault)) from None
    document = postback.document()
    if not isinstance(document, dict):
        raise Malformed("event: is no JSON object")
    own, sale = document.get("event_id"), document.get("conversion_id")
    if not isinstance(own, str) or not 1 <= len(own) <= MAX_ID_LENGTH:
        own = event_id(KIND, sale if isinstance(sale, str) else "", document)
    return [adapted(own, postback.raw, document)]
