"""The process's keys: Ed25519 for what others verify (access tokens, receipts), HMAC for what only we do."""

import base64
import hmac
import time
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, Self

import jwt
import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import SecretStr

from wapsi.config import Settings
from wapsi.security import trees

# Before the public half of an earlier key, to tell it from a seed: both are 32 bytes.
PUBLIC_PREFIX = "public:"
# The `alg` of tokens that were signed together; other ways of signing are JOSE's.
TREE = "wapsi-ed25519-tree"
_SIGNATURE_BYTES = 64


class SignatureInvalid(Exception):
    """A token or receipt that this key did not sign, that has expired, or that is of another type."""


def new_signing_key() -> str:
    """A fresh WAPSI_SIGNING_KEY."""
    return base64.b64encode(Ed25519PrivateKey.generate().private_bytes_raw()).decode()


class _SigningKey:
    """An Ed25519 key. Of an earlier one the public half is enough: `private` is None then."""

    def __init__(self, public: Ed25519PublicKey, private: Ed25519PrivateKey | None) -> None:
        self.public = public
        self.private = private
        raw = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.id = sha256(raw).hexdigest()[:16]
        self.x = _encoded(raw).decode()

    @classmethod
    def of(cls, text: str) -> Self:
        """From a WAPSI_SIGNING_KEY, or from `public:` and the `x` of a published key. Raises ValueError."""
        if text.startswith(PUBLIC_PREFIX):
            raw = _decoded(text.removeprefix(PUBLIC_PREFIX).encode("ascii"))
            return cls(Ed25519PublicKey.from_public_bytes(raw), None)
        private = Ed25519PrivateKey.from_private_bytes(base64.b64decode(text, validate=True))
        return cls(private.public_key(), private)

    def signed(self, text: bytes, signature: bytes) -> bool:
        if self.private is not None:
            # One text has one signature, and making it anew takes a third of the time of verifying it.
            return hmac.compare_digest(self.private.sign(text), signature)
        try:
            self.public.verify(signature, text)
        except InvalidSignature:
            return False
        return True


class Keys:
    """What is new is signed, hashed and encrypted with the current keys; what earlier ones did is still understood.

    Raises ValueError at start for a signing key that is not 32 bytes in base64.
    """

    def __init__(self, settings: Settings) -> None:
        self._current = _SigningKey.of(settings.signing_key.get_secret_value())
        if self._current.private is None:
            raise ValueError("WAPSI_SIGNING_KEY is only the public half of a key")
        self._private = self._current.private
        self.key_id = self._current.id
        earlier = [_SigningKey.of(key) for key in _split(settings.signing_keys_previous)]
        self._by_id = {key.id: key for key in (*reversed(earlier), self._current)}
        self._headers: dict[str, bytes] = {}
        self._begun: dict[tuple[bytes, str], _BegunMac] = {}
        self._secrets = [
            secret.encode()
            for secret in (settings.secret_key.get_secret_value(), *_split(settings.secret_keys_previous))
        ]
        fernets = [
            Fernet(base64.urlsafe_b64encode(_BegunMac(secret, "encryption").of(b""))) for secret in self._secrets
        ]
        self._current_fernet, self._fernet = fernets[0], MultiFernet(fernets)

    def sign(self, typ: str, claims: Mapping[str, Any]) -> str:
        """A compact JWS whose header says its type, so that a receipt never passes as an access token."""
        return jwt.encode(dict(claims), self._private, algorithm="EdDSA", headers={"typ": typ, "kid": self.key_id})

    def sign_together(self, typ: str, claims: Sequence[bytes]) -> list[str]:
        """Of claims that are JSON: tokens in the form of a compact JWS, for the price of one signature.

        `alg` is ours (TREE), since none of JOSE's signs many at once: docs/clicks.md says how anyone verifies them.
        """
        header = self._headers.get(typ)
        if header is None:
            fields = {"alg": TREE, "typ": typ, "kid": self.key_id}
            header = self._headers[typ] = _encoded(orjson.dumps(fields)) + b"."
        texts = [header + _encoded(each) for each in claims]
        if not texts:
            return []
        root, ways = trees.root_and_ways(texts)
        signature = self._private.sign(trees.PREFIX + root)
        return [
            (text + b"." + _encoded(signature + way)).decode("ascii") for text, way in zip(texts, ways, strict=True)
        ]

    def verify(self, typ: str, token: str, *, audience: str, issuer: str) -> dict[str, Any]:
        """The claims. Raises SignatureInvalid."""
        try:
            header = jwt.get_unverified_header(token)
            if header.get("typ") != typ:
                raise SignatureInvalid("another type of token")
            return jwt.decode(
                token,
                self._key(header.get("kid")).public,
                algorithms=["EdDSA"],
                audience=audience,
                issuer=issuer,
                options={"require": ["exp", "iat", "sub", "aud", "iss"]},
            )
        except jwt.PyJWTError as error:
            raise SignatureInvalid(str(error)) from None

    def _key(self, key_id: object) -> _SigningKey:
        key = self._by_id.get(key_id) if isinstance(key_id, str) else None
        if key is None:
            raise SignatureInvalid("signed with a key that is not one of ours")
        return key

    def read(self, typ: str, token: str, *, audience: str) -> dict[str, Any]:
        """The claims of a token that we signed, alone or together with others, whatever address was the issuer's then.

        For thousands a second. Raises SignatureInvalid.
        """
        try:
            header, payload, signature = token.encode("ascii").split(b".")
            head = orjson.loads(_decoded(header))
            if not isinstance(head, dict) or head.get("typ") != typ:
                raise SignatureInvalid("another type of token")
            text, signed = _what_is_signed(head.get("alg"), header + b"." + payload, _decoded(signature))
            if not self._key(head.get("kid")).signed(text, signed):
                raise SignatureInvalid("Signature verification failed")
            claims = orjson.loads(_decoded(payload))
        except ValueError as error:
            raise SignatureInvalid("Signature verification failed") from error
        if claims.get("aud") != audience or not {"iss", "sub", "iat", "exp"} <= claims.keys():
            raise SignatureInvalid("for another audience")
        if claims["exp"] <= time.time():
            raise SignatureInvalid("Signature has expired")
        return dict(claims)

    def mac(self, purpose: str, data: bytes) -> bytes:
        """HMAC-SHA256, 32 bytes; a purpose separates uses, so that one's output means nothing to another."""
        return self._mac(self._secrets[0], purpose, data)

    def is_mac(self, purpose: str, data: bytes, mac: bytes) -> bool:
        """Whether we made it, with the current secret or an earlier one."""
        return any(hmac.compare_digest(self._mac(secret, purpose, data), mac) for secret in self._secrets)

    def macs(self, purpose: str, data: bytes) -> list[bytes]:
        """Of the current secret and of the earlier ones: what was stored may be any of them."""
        return [self._mac(secret, purpose, data) for secret in self._secrets]

    def _mac(self, secret: bytes, purpose: str, data: bytes) -> bytes:
        """Of the few purposes each is begun once: to begin takes longer than to go through a short text."""
        begun = self._begun.get((secret, purpose))
        if begun is None:
            begun = self._begun[secret, purpose] = _BegunMac(secret, purpose)
        return begun.of(data)

    def encrypt(self, text: str) -> bytes:
        """For personal data that must be read again, such as an IBAN."""
        return self._fernet.encrypt(text.encode())

    def decrypt(self, data: bytes) -> str:
        """Raises SignatureInvalid when another key wrote it."""
        try:
            return self._fernet.decrypt(data).decode()
        except InvalidToken:
            raise SignatureInvalid("written with another WAPSI_SECRET_KEY") from None

    def is_current(self, data: bytes) -> bool:
        """Whether the current secret encrypted it; `decrypt` says whether an earlier one did."""
        try:
            self._current_fernet.decrypt(data)
        except InvalidToken:
            return False
        return True

    def public_key_set(self) -> dict[str, Any]:
        """JSON Web Key Set (RFC 7517, RFC 8037); the current key first."""
        return {
            "keys": [
                {"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": key.id, "x": key.x}
                for key in reversed(self._by_id.values())
            ]
        }


def _what_is_signed(algorithm: object, text: bytes, signature: bytes) -> tuple[bytes, bytes]:
    """And by what. Raises SignatureInvalid and ValueError."""
    if algorithm == "EdDSA":
        return text, signature
    if algorithm != TREE:
        raise SignatureInvalid("another type of token")
    return trees.PREFIX + trees.root_of(text, signature[_SIGNATURE_BYTES:]), signature[:_SIGNATURE_BYTES]


def payload_of(token: str) -> bytes:
    """The claims, as JSON, of a token that is known to be ours. Raises ValueError."""
    _, payload, _ = token.encode("ascii").split(b".")
    return _decoded(payload)


def _split(setting: SecretStr) -> list[str]:
    """Separated by commas; where a value has one in it, each stands on a line."""
    text = setting.get_secret_value()
    return [part.strip() for part in (text.splitlines() if "\n" in text else text.split(",")) if part.strip()]


class _BegunMac:
    """HMAC-SHA256 (RFC 2104) of a purpose and what follows it.

    The library's can be begun as well, but to copy one takes as long as all of this.
    """

    __slots__ = ("_inner", "_outer")

    def __init__(self, secret: bytes, purpose: str) -> None:
        block = sha256().block_size
        key = (secret if len(secret) <= block else sha256(secret).digest()).ljust(block, b"\0")
        self._inner = sha256(bytes(byte ^ 0x36 for byte in key) + purpose.encode() + b"\0")
        self._outer = sha256(bytes(byte ^ 0x5C for byte in key))

    def of(self, data: bytes) -> bytes:
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(data)
        outer.update(inner.digest())
        return outer.digest()


def _encoded(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _decoded(segment: bytes) -> bytes:
    """Raises ValueError."""
    return base64.urlsafe_b64decode(segment + b"=" * (-len(segment) % 4))
