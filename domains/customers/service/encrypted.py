"""What this domain keeps encrypted, for a change of WAPSI_SECRET_KEY."""

from collections.abc import Mapping
from typing import Any

from domains.customers.models import MessageRow, PayoutMethodRow, TOTPRow, VerificationRow
from domains.customers.service.payout_methods import account_fingerprints
from wapsi.security.reencryption import Encrypted
from wapsi.security.signing import Keys


def _fingerprint(keys: Keys, row: Mapping[str, Any], account: str) -> Mapping[str, bytes]:
    """Or the account could be added a second time, once the earlier secret is forgotten."""
    return {"account_fingerprint": account_fingerprints(keys, row["kind"], row["provider"], account)[0]}


ENCRYPTED = (
    Encrypted(PayoutMethodRow.__table__, "account_encrypted", _fingerprint),
    Encrypted(TOTPRow.__table__, "secret_encrypted"),
    Encrypted(VerificationRow.__table__, "contact_encrypted"),
    Encrypted(MessageRow.__table__, "content_encrypted"),
)
