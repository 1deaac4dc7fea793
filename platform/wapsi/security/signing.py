"""The process's keys: Ed25519 for what others verify (access tokens, receipts), HMAC for what only we do."""

import base64
import hashlib
import hmac
import time
from collections.abc import Mapping
from typing import Any

import jwt
import orjson
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from wapsi.config import Settings


class SignatureInvalid(Exception):
    """A token or receipt that this key did not sign, that has expired, or that is of another type."""


def new_signing_key() -> str:
    """A fresh WAPSI_SIGNING_KEY."""
    return base64.b64encode(Ed25519PrivateKey.generate().private_bytes_raw()).decode()


class Keys:
    """Raises ValueError at start for a signing key that is not 32 bytes in base64."""

    def __init__(self, settings: Settings) -> None:
        seed = base64.b64decode(settings.signing_key.get_secret_value(), validate=True)
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        public = self._private.public_key()
        self._public = public
        raw = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.key_id = hashlib.sha256(raw).hexdigest()[:16]
        self._public_x = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
        self._headers: dict[str, bytes] = {}
        self._secret = settings.secret_key.get_secret_value().encode()
        self._fernet = Fernet(base64.urlsafe_b64encode(self.mac("encryption", b"")))

    def sign(self, typ: str, claims: Mapping[str, Any]) -> str:
        """A compact JWS whose header says its type, so that a receipt never passes as an access token."""
        return jwt.encode(dict(claims), self._private, algorithm="EdDSA", headers={"typ": typ, "kid": self.key_id})

    def sign_json(self, typ: str, claims: bytes) -> str:
        """As `sign`, of claims that are JSON already: for thousands a second."""
        header = self._headers.get(typ)
        if header is None:
            fields = {"alg": "EdDSA", "typ": typ, "kid": self.key_id}
            header = self._headers[typ] = _encoded(orjson.dumps(fields)) + b"."
        text = header + _encoded(claims)
        return (text + b"." + _encoded(self._private.sign(text))).decode("ascii")

    def verify(self, typ: str, token: str, *, audience: str, issuer: str) -> dict[str, Any]:
        """The claims. Raises SignatureInvalid."""
        try:
            if jwt.get_unverified_header(token).get("typ") != typ:
                raise SignatureInvalid("another type of token")
            return jwt.decode(
                token,
                self._public,
                algorithms=["EdDSA"],
                audience=audience,
                issuer=issuer,
                options={"require": ["exp", "iat", "sub", "aud", "iss"]},
            )
        except jwt.PyJWTError as error:
            raise SignatureInvalid(str(error)) from None

    def read(self, typ: str, token: str, *, audience: str) -> dict[str, Any]:
        """The claims of a token that we signed, whatever address was the issuer's then. Raises SignatureInvalid.

        For thousands a second: Ed25519 gives one signature a text, and making it anew takes a third of the time of
        verifying it.
        """
        try:
            header, payload, signature = token.encode("ascii").split(b".")
            if not hmac.compare_digest(self._private.sign(header + b"." + payload), _decoded(signature)):
                raise SignatureInvalid("Signature verification failed")
            head, claims = orjson.loads(_decoded(header)), orjson.loads(_decoded(payload))
        except ValueError as error:
            raise SignatureInvalid("Signature verification failed") from error
        if head.get("typ") != typ or head.get("alg") != "EdDSA":
            raise SignatureInvalid("another type of token")
        if claims.get("aud") != audience or not {"iss", "sub", "iat", "exp"} <= claims.keys():
            raise SignatureInvalid("for another audience")
        if claims["exp"] <= time.time():
            raise SignatureInvalid("Signature has expired")
        return dict(claims)

    def mac(self, purpose: str, data: bytes) -> bytes:
        """HMAC-SHA256, 32 bytes; a purpose separates uses, so that one's output means nothing to another."""
        return hmac.digest(self._secret, purpose.encode() + b"\0" + data, "sha256")

    def encrypt(self, text: str) -> bytes:
        """For personal data that must be read again, such as an IBAN."""
        return self._fernet.encrypt(text.encode())

    def decrypt(self, data: bytes) -> str:
        """Raises SignatureInvalid when another key wrote it."""
        try:
            return self._fernet.decrypt(data).decode()
        except InvalidToken:
            raise SignatureInvalid("written with another WAPSI_SECRET_KEY") from None

    def public_key_set(self) -> dict[str, Any]:
        """JSON Web Key Set (RFC 7517, RFC 8037)."""
        key = {
            "kty": "OKP",
            "crv": "Ed25519",
            "alg": "EdDSA",
            "use": "sig",
            "kid": self.key_id,
            "x": self._public_x,
        }
        return {"keys": [key]}


def _encoded(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _decoded(segment: bytes) -> bytes:
    """Raises ValueError."""
    return base64.urlsafe_b64decode(segment + b"=" * (-len(segment) % 4))
