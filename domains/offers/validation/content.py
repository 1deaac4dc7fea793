"""What tells whether an offer has changed since it was accepted."""

from hashlib import blake2b

from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb

# Raise it when a rule changes what an accepted offer becomes: every offer is then evaluated anew by the next sync.
RULES_VERSION = 1
_PREFIX = bytes([RULES_VERSION])


def content_hash(offer: pb.Offer) -> bytes:
    """16 bytes over the rules' version and the offer as it was pushed."""
    return blake2b(_PREFIX + offer.SerializeToString(deterministic=True), digest_size=16).digest()
