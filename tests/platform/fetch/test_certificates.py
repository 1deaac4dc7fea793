"""Who is at the other end: certificates are checked for the name that was asked for."""

import datetime as dt
import ssl
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.platform.fetch.servers import HOST, Server, answer, fetch, make_fetcher, refusal


class Authority:
    """A certificate authority of the test's own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test authority")])
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        certificate = self._certificate(self._name, self._key, constraints)
        self.context = ssl.create_default_context(cadata=certificate.public_bytes(serialization.Encoding.PEM).decode())

    def _certificate(self, name: x509.Name, key: ec.EllipticCurvePrivateKey, *extensions: Any) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        builder = x509.CertificateBuilder(
            issuer_name=self._name,
            subject_name=name,
            public_key=key.public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=now - dt.timedelta(days=1),
            not_valid_after=now + dt.timedelta(days=1),
        )
        for extension in (
            *extensions,
            x509.SubjectKeyIdentifier.from_public_key(key.public_key()),
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
        ):
            builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        return builder.sign(self._key, hashes.SHA256())

    def server(self, *names: str) -> ssl.SSLContext:
        """For a server with these names."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._certificate(
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])]),
            key,
            x509.SubjectAlternativeName([x509.DNSName(name) for name in names]),
        )
        file = self._folder / "server.pem"
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def shops_tls(authority: Authority) -> ssl.SSLContext:
    return authority.server(HOST)


def secure(server: Server) -> str:
    return server.url().replace("http:", "https:")


async def test_the_servers_name_is_checked_though_its_address_is_connected_to(
    serve: Any, authority: Authority, shops_tls: ssl.SSLContext
) -> None:
    asked_for: list[str | None] = []

    def note(_socket: Any, name: str | None, _context: Any) -> None:
        asked_for.append(name)

    shops_tls.sni_callback = note
    server = await serve(answer(), tls=shops_tls)
    assert await fetch(make_fetcher(tls=authority.context), secure(server)) == b"a feed"
    assert asked_for == [HOST]
    assert f"host: {HOST}:{server.port}".encode() in server.requests[0].lower()


async def test_another_servers_certificate_is_refused(
    serve: Any, authority: Authority, shops_tls: ssl.SSLContext
) -> None:
    server = await serve(answer(), tls=shops_tls)
    other = secure(server).replace(HOST, "other.example")
    reason, words = await refusal(make_fetcher("127.0.0.1", "127.0.0.1", tls=authority.context), other)
    assert reason == "FETCH_TLS_FAILED"
    assert "other.example cannot prove who it is" in words
    assert server.requests == []


async def test_an_address_in_the_url_needs_a_certificate_for_it(
    serve: Any, authority: Authority, shops_tls: ssl.SSLContext
) -> None:
    server = await serve(answer(), tls=shops_tls)
    url = secure(server).replace(HOST, "127.0.0.1")
    assert (await refusal(make_fetcher(tls=authority.context), url))[0] == "FETCH_TLS_FAILED"


async def test_an_unknown_authority_is_refused(serve: Any, shops_tls: ssl.SSLContext) -> None:
    server = await serve(answer(), tls=shops_tls)
    reason, words = await refusal(make_fetcher(), secure(server))
    assert (reason, "certificate" in words) == ("FETCH_TLS_FAILED", True)
    assert server.requests == []


async def test_a_server_without_tls_is_refused(serve: Any, authority: Authority) -> None:
    server = await serve(answer())
    fetcher = make_fetcher(tls=authority.context, limits={"connect_s": 0.3})
    assert (await refusal(fetcher, secure(server)))[0] == "FETCH_CONNECT_FAILED"
