"""What our keys signed is known from what others did, from other types of token, and from what has expired."""

import base64
import hashlib
import hmac
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import SecretStr

from wapsi.config import Settings
from wapsi.security import trees
from wapsi.security.signing import Keys, SignatureInvalid, new_signing_key

NOW = 1_800_000_000
LONG_AGO, FAR_AHEAD = 1_000_000_000, 4_000_000_000
CLAIMS: dict[str, Any] = {"sub": "c1", "aud": "wapsi", "iss": "http://wapsi.test", "iat": LONG_AGO, "exp": FAR_AHEAD}


@pytest.fixture
def keys(plain_settings: Settings) -> Keys:
    return Keys(plain_settings)


def verify(keys: Keys, token: str, typ: str = "at+jwt") -> dict[str, Any]:
    return keys.verify(typ, token, audience="wapsi", issuer="http://wapsi.test")


def part(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def read_part(text: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def refused(keys: Keys, token: str, typ: str = "at+jwt") -> bool:
    try:
        verify(keys, token, typ)
    except SignatureInvalid:
        return True
    return False


def together(keys: Keys, size: int) -> list[str]:
    return keys.sign_together("receipt+jwt", [json.dumps(CLAIMS).encode()] * size)


def signature_of(token: str) -> bytes:
    text = token.split(".")[2]
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def test_what_was_signed_is_verified(keys: Keys) -> None:
    assert verify(keys, keys.sign("at+jwt", CLAIMS | {"role": "admin"})) == CLAIMS | {"role": "admin"}


def test_another_type_of_token_does_not_pass(keys: Keys) -> None:
    receipt = keys.sign("receipt+jwt", CLAIMS)
    assert refused(keys, receipt)
    assert not refused(keys, receipt, "receipt+jwt")


@pytest.mark.parametrize(
    "change",
    [
        {"aud": "another"},
        {"aud": ["another", "third"]},
        {"iss": "https://evil.example"},
        {"exp": LONG_AGO + 1},
        {"exp": "soon"},
        {"nbf": FAR_AHEAD},
        {"iat": FAR_AHEAD},
        {"sub": 7},
    ],
    ids=str,
)
def test_a_claim_that_is_wrong_is_refused(keys: Keys, change: dict[str, Any]) -> None:
    assert refused(keys, keys.sign("at+jwt", CLAIMS | change))


@pytest.mark.parametrize("name", ["exp", "iat", "sub", "aud", "iss"])
def test_a_claim_that_is_missing_is_refused(keys: Keys, name: str) -> None:
    assert refused(keys, keys.sign("at+jwt", {key: value for key, value in CLAIMS.items() if key != name}))


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE"])
@pytest.mark.parametrize("signature", ["", "AAAA"])
def test_a_token_that_says_it_is_not_signed_is_refused(keys: Keys, algorithm: str, signature: str) -> None:
    token = f"{part({'alg': algorithm, 'typ': 'at+jwt'})}.{part(CLAIMS)}.{signature}"
    assert refused(keys, token)


def test_the_public_key_as_the_secret_of_an_hmac_is_refused(keys: Keys) -> None:
    """The classic confusion: what everyone may know, used as if it were our secret."""
    [public] = keys.public_key_set()["keys"]
    raw = base64.urlsafe_b64decode(public["x"] + "=")
    for secret in (raw, public["x"].encode(), json.dumps(public).encode()):
        signed = f"{part({'alg': 'HS256', 'typ': 'at+jwt', 'kid': keys.key_id})}.{part(CLAIMS)}"
        token = f"{signed}.{part(hmac.new(secret, signed.encode(), hashlib.sha256).digest())}"
        assert refused(keys, token)


def test_a_key_that_the_token_brings_along_is_not_used(keys: Keys) -> None:
    stranger = Ed25519PrivateKey.generate()
    x = part(stranger.public_key().public_bytes_raw())
    headers = {"typ": "at+jwt", "kid": keys.key_id, "jwk": {"kty": "OKP", "crv": "Ed25519", "x": x}}
    assert refused(keys, jwt.encode(CLAIMS, stranger, algorithm="EdDSA", headers=headers))


def test_a_token_of_another_installation_is_refused(keys: Keys, plain_settings: Settings) -> None:
    others = Keys(plain_settings.model_copy(update={"signing_key": SecretStr(new_signing_key())}))
    assert refused(keys, others.sign("at+jwt", CLAIMS))


@pytest.mark.parametrize("change", [{"sub": "c2"}, {"exp": FAR_AHEAD + 1}, {"role": "admin"}], ids=str)
def test_changed_claims_are_refused(keys: Keys, change: dict[str, Any]) -> None:
    header, claims, signature = keys.sign("at+jwt", CLAIMS).split(".")
    assert refused(keys, f"{header}.{part(read_part(claims) | change)}.{signature}")


def test_a_changed_header_or_signature_is_refused(keys: Keys) -> None:
    header, claims, signature = keys.sign("receipt+jwt", CLAIMS).split(".")
    assert refused(keys, f"{part(read_part(header) | {'typ': 'at+jwt'})}.{claims}.{signature}")
    flipped = ("B" if signature[0] == "A" else "A") + signature[1:]
    assert refused(keys, f"{header}.{claims}.{flipped}", "receipt+jwt")
    assert refused(keys, f"{header}.{claims}.", "receipt+jwt")


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 13, 128])
def test_of_what_was_signed_together_each_is_verified_alone(keys: Keys, size: int) -> None:
    tokens = keys.sign_together("receipt+jwt", [json.dumps(CLAIMS | {"jti": n}).encode() for n in range(size)])
    for n, token in enumerate(tokens):
        assert keys.read("receipt+jwt", token, audience="wapsi") == CLAIMS | {"jti": n}
    signatures = {signature_of(token)[:64] for token in tokens}
    assert len(signatures) == 1


def test_nothing_together_is_nothing(keys: Keys) -> None:
    assert keys.sign_together("receipt+jwt", []) == []


@pytest.mark.parametrize("size", [1, 2, 5])
def test_whatever_is_changed_of_what_was_signed_together_is_refused(keys: Keys, size: int) -> None:
    other = keys.sign_together("receipt+jwt", [b"{}"])[0].split(".")[1]
    for token in together(keys, size):
        header, claims, signature = token.split(".")
        raw = signature_of(token)
        changed = [raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :] for at in range(0, len(raw), 16)]
        changed += [
            b"",
            raw[:63],
            raw[:-1],
            raw[:-32],
            raw + raw[-32:],
            raw + b"x",
            raw[:64] + raw[64:][::-1] + b"y" * 32,
        ]
        forged = [f"{header}.{claims}.{part(each)}" for each in changed]
        forged += [f"{header}.{other}.{signature}", f"{header}.{part(CLAIMS | {'sub': 'c2'})}.{signature}"]
        forged += [f"{part(read_part(header) | {'alg': alg})}.{claims}.{signature}" for alg in ("EdDSA", "none", None)]
        forged += [f"{part(read_part(header) | {'typ': 'at+jwt'})}.{claims}.{signature}"]
        for each in forged:
            with pytest.raises(SignatureInvalid):
                keys.read("receipt+jwt", each, audience="wapsi")


def test_a_node_of_the_tree_is_no_text(keys: Keys) -> None:
    """Or whoever has two receipts could show their hashes as a third one."""
    texts = [b"one", b"other"]
    root, [way, _] = trees.root_and_ways(texts)
    assert trees.root_of(b"one", way) == root
    leaves = sorted(hashlib.sha256(b"\0" + text).digest() for text in texts)
    assert trees.root_of(b"".join(leaves), b"") != root


def test_what_was_signed_together_is_no_access_token(keys: Keys) -> None:
    """Types are told apart, and what only `read` knows passes no other door."""
    for token in (*together(keys, 2), *keys.sign_together("at+jwt", [json.dumps(CLAIMS).encode()])):
        assert refused(keys, token)


@pytest.mark.parametrize("token", ["", ".", "..", "a.b.c", "é.é.é", "x" * 5000, f"{part([])}.{part({})}.AA"])
def test_what_is_not_a_token_is_refused(keys: Keys, token: str) -> None:
    assert refused(keys, token)


def test_the_key_set_alone_verifies_a_token(keys: Keys) -> None:
    """As another system would: with the published set, the token's key id and any JOSE library."""
    token = keys.sign("receipt+jwt", CLAIMS)
    published = jwt.PyJWKSet.from_dict(json.loads(json.dumps(keys.public_key_set())))
    key = published[jwt.get_unverified_header(token)["kid"]]
    assert jwt.decode(token, key, algorithms=["EdDSA"], audience="wapsi", issuer="http://wapsi.test") == CLAIMS


def test_the_key_set_holds_nothing_private(keys: Keys) -> None:
    [key] = keys.public_key_set()["keys"]
    assert key.keys() == {"kty", "crv", "alg", "use", "kid", "x"}


def test_a_mac_of_one_purpose_means_nothing_to_another(keys: Keys) -> None:
    assert keys.mac("clicks", b"data") == keys.mac("clicks", b"data")
    assert keys.mac("clicks", b"data") != keys.mac("sessions", b"data")
    assert keys.mac("clicks", b"data") != keys.mac("clicks", b"date")
    assert keys.mac("a", b"bc") != keys.mac("ab", b"c"), "the purpose and the data run into each other"
    assert len(keys.mac("clicks", b"")) == 32


@pytest.mark.parametrize("length", [32, 64, 65, 200])
@pytest.mark.parametrize("data", [b"", b"short", b"x" * 1000])
def test_a_mac_is_the_hmac_of_its_purpose_and_the_data(plain_settings: Settings, length: int, data: bytes) -> None:
    secret = "s" * length
    keys = Keys(plain_settings.model_copy(update={"secret_key": SecretStr(secret)}))
    for _ in range(2):
        assert keys.mac("purpose", data) == hmac.digest(secret.encode(), b"purpose\0" + data, "sha256")


def test_what_was_encrypted_is_read_again_and_never_looks_the_same(keys: Keys) -> None:
    iban = "PK36SCBL0000001123456702"
    first, second = keys.encrypt(iban), keys.encrypt(iban)
    assert keys.decrypt(first) == keys.decrypt(second) == iban
    assert first != second
    assert iban.encode() not in first


def test_another_key_cannot_read_it(keys: Keys, plain_settings: Settings) -> None:
    secret = SecretStr("another secret, of 32 characters or more")
    others = Keys(plain_settings.model_copy(update={"secret_key": secret}))
    with pytest.raises(SignatureInvalid, match="another WAPSI_SECRET_KEY"):
        others.decrypt(keys.encrypt("a secret"))


@pytest.mark.parametrize("data", [b"", b"garbage", b"gAAAAA"])
def test_what_was_tampered_with_is_not_read(keys: Keys, data: bytes) -> None:
    with pytest.raises(SignatureInvalid):
        keys.decrypt(data)


@pytest.mark.parametrize(
    "signing_key",
    ["", "not base64!", base64.b64encode(b"short").decode(), base64.b64encode(bytes(64)).decode(), "é" * 44],
)
def test_a_signing_key_that_is_none_is_refused_at_start(plain_settings: Settings, signing_key: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # whatever it says, the process does not start
        Keys(plain_settings.model_copy(update={"signing_key": SecretStr(signing_key)}))


def test_new_signing_keys_are_good_and_differ(plain_settings: Settings) -> None:
    made = {new_signing_key() for _ in range(3)}
    assert len(made) == 3
    for key in made:
        Keys(plain_settings.model_copy(update={"signing_key": SecretStr(key)}))


# Rotation


def rotated(before: Settings, **changes: str) -> Keys:
    """The keys of a process that was started with new ones and knows those of `before`."""
    values = {
        "signing_key": new_signing_key(),
        "signing_keys_previous": before.signing_key.get_secret_value(),
        "secret_key": "the next secret, of 32 characters or more",
        "secret_keys_previous": before.secret_key.get_secret_value() + "\n",
    } | changes
    return Keys(before.model_copy(update={name: SecretStr(value) for name, value in values.items()}))


def test_what_an_earlier_key_signed_is_still_good(keys: Keys, plain_settings: Settings) -> None:
    after = rotated(plain_settings)
    token = keys.sign("receipt+jwt", CLAIMS)
    assert verify(after, token, "receipt+jwt") == CLAIMS
    for each in (token, *together(keys, 3)):
        assert after.read("receipt+jwt", each, audience="wapsi") == CLAIMS


def test_the_public_half_of_an_earlier_key_is_enough(keys: Keys, plain_settings: Settings) -> None:
    [published] = keys.public_key_set()["keys"]
    after = rotated(plain_settings, signing_keys_previous=f"public:{published['x']}")
    token = keys.sign("receipt+jwt", CLAIMS)
    assert verify(after, token, "receipt+jwt") == CLAIMS
    for each in (token, *together(keys, 3)):
        assert after.read("receipt+jwt", each, audience="wapsi") == CLAIMS
        changed = each[:-6] + ("AAAAAA" if each[-6:] != "AAAAAA" else "BBBBBB")
        with pytest.raises(SignatureInvalid):
            after.read("receipt+jwt", changed, audience="wapsi")


def test_new_tokens_are_signed_with_the_new_key_alone(keys: Keys, plain_settings: Settings) -> None:
    after = rotated(plain_settings)
    token = after.sign("at+jwt", CLAIMS)
    assert read_part(token.split(".")[0])["kid"] == after.key_id != keys.key_id
    assert refused(keys, token), "the old process does not know it: restart all before anyone signs with it"


def test_an_earlier_key_does_not_sign_in_the_name_of_another(keys: Keys, plain_settings: Settings) -> None:
    """The key is chosen by the token's own word, so the signature must be of that very key."""
    after = rotated(plain_settings)
    header, claims, signature = keys.sign("at+jwt", CLAIMS).split(".")
    for key_id in (after.key_id, "0" * 16, None, 7, ["x"]):
        forged = f"{part(read_part(header) | {'kid': key_id})}.{claims}.{signature}"
        assert refused(after, forged)
        with pytest.raises(SignatureInvalid):
            after.read("at+jwt", forged, audience="wapsi")


def test_the_key_set_publishes_all_of_them_the_current_one_first(keys: Keys, plain_settings: Settings) -> None:
    older = new_signing_key()
    previous = f"{plain_settings.signing_key.get_secret_value()}, {older}"
    after = rotated(plain_settings, signing_keys_previous=previous)
    oldest = Keys(plain_settings.model_copy(update={"signing_key": SecretStr(older)}))
    assert [key["kid"] for key in after.public_key_set()["keys"]] == [after.key_id, keys.key_id, oldest.key_id]
    assert all(key.keys() == {"kty", "crv", "alg", "use", "kid", "x"} for key in after.public_key_set()["keys"])


def test_what_an_earlier_secret_made_is_still_known(keys: Keys, plain_settings: Settings) -> None:
    after = rotated(plain_settings)
    assert after.macs("refresh-token", b"x") == [after.mac("refresh-token", b"x"), keys.mac("refresh-token", b"x")]
    assert after.decrypt(keys.encrypt("PK36SCBL0000001123456702")) == "PK36SCBL0000001123456702"
    with pytest.raises(SignatureInvalid):
        keys.decrypt(after.encrypt("written with the new one"))


@pytest.mark.parametrize("key", ["public:", "public:AAAA", "not base64!", base64.b64encode(b"short").decode()])
def test_an_earlier_key_that_is_none_is_refused_at_start(plain_settings: Settings, key: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # whatever it says, the process does not start
        rotated(plain_settings, signing_keys_previous=key)


def test_the_public_half_alone_cannot_sign(keys: Keys, plain_settings: Settings) -> None:
    [published] = keys.public_key_set()["keys"]
    with pytest.raises(ValueError, match="only the public half"):
        rotated(plain_settings, signing_key=f"public:{published['x']}")
