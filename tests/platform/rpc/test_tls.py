"""TLS on the gRPC port: whom it lets in, with which key, and what is wrong with files that are no good."""

import datetime as dt
import hashlib
import ipaddress
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.platform.conftest import KnownCallers
from tests.platform.rpc.test_server import FEEDS, Servicer, get, service, with_settings
from wapsi.rpc.offers.v1 import offer_sync_pb2_grpc as pb_grpc
from wapsi.rpc.server import RPCServer
from wapsi.rpc.tls import CertificateUnusable
from wapsi.runtime import Runtime
from wapsi.security.principal import Principal


class Pair:
    """A certificate with its key, signed by another one or by itself."""

    def __init__(self, name: str, by: "Pair | None" = None) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        start = dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)
        builder = (
            x509.CertificateBuilder()
            .subject_name(self.name)
            .issuer_name((by or self).name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=by is None, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        )
        self.certificate = builder.sign((by or self).key, hashes.SHA256())
        self.pem = self.certificate.public_bytes(serialization.Encoding.PEM)
        self.key_pem = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    @property
    def sha256(self) -> bytes:
        return hashlib.sha256(self.certificate.public_bytes(serialization.Encoding.DER)).digest()


class Noting(KnownCallers):
    """Notes with which certificates callers came."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[bytes | None] = []

    async def authenticate(self, bearer: str, *, certificate_sha256: bytes | None = None) -> Principal:
        self.seen.append(certificate_sha256)
        return await super().authenticate(bearer)


CA = Pair("our CA")
SERVER = Pair("server", CA)
CLIENT = Pair("client", CA)
STRANGER = Pair("stranger")


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    made = {
        "grpc_tls_cert_file": SERVER.pem,
        "grpc_tls_key_file": SERVER.key_pem,
        "grpc_tls_client_ca_file": CA.pem,
    }
    for name, data in made.items():
        (tmp_path / name).write_bytes(data)
    return {name: tmp_path / name for name in made}


@pytest.fixture
def noting() -> Noting:
    return Noting()


@pytest.fixture
async def server(known: Runtime, noting: Noting, files: dict[str, Path]) -> AsyncIterator[RPCServer]:
    runtime = with_settings(known, shutdown_grace_s=0.2, **files)
    object.__setattr__(runtime, "authenticator", noting)
    server = RPCServer(runtime, [service(Servicer())])
    await server.start()
    yield server
    await server.stop()


async def called(server: RPCServer, *, ca: Pair = CA, client: Pair | None = None) -> Any:
    credentials = grpc.ssl_channel_credentials(
        ca.pem, None if client is None else client.key_pem, None if client is None else client.pem
    )
    # Connections that were made before are not taken again.
    options = (("grpc.use_local_subchannel_pool", 1),)
    async with grpc.aio.secure_channel(f"127.0.0.1:{server.port}", credentials, options) as channel:
        return await get(pb_grpc.OfferSyncServiceStub(channel), metadata=FEEDS)


async def test_a_client_with_a_certificate_of_the_ca_is_let_in_and_known_by_it(
    server: RPCServer, noting: Noting
) -> None:
    answer = await called(server, client=CLIENT)
    assert answer.sync.merchant == f"producer:{UUID(int=3)}"
    assert noting.seen == [CLIENT.sha256]


@pytest.mark.parametrize("client", [None, STRANGER], ids=["none", "of another CA"])
async def test_a_client_without_such_a_certificate_is_not(
    server: RPCServer, noting: Noting, client: Pair | None
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await called(server, client=client)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert noting.seen == []


async def test_a_renewed_certificate_is_taken_without_a_restart_and_a_broken_one_is_not(
    server: RPCServer, files: dict[str, Path]
) -> None:
    files["grpc_tls_key_file"].write_bytes(STRANGER.key_pem)
    await called(server, client=CLIENT)
    other = Pair("another CA")
    renewed = Pair("server", other)
    files["grpc_tls_cert_file"].write_bytes(renewed.pem)
    files["grpc_tls_key_file"].write_bytes(renewed.key_pem)
    await called(server, ca=other, client=CLIENT)
    with pytest.raises(grpc.aio.AioRpcError):
        await called(server, ca=CA, client=CLIENT)


@pytest.mark.parametrize("name", ["grpc_tls_cert_file", "grpc_tls_key_file", "grpc_tls_client_ca_file"])
@pytest.mark.parametrize("data", [None, b"nonsense"], ids=["missing", "nonsense"])
def test_files_that_are_no_good_keep_the_server_from_starting(
    known: Runtime, files: dict[str, Path], name: str, data: bytes | None
) -> None:
    if data is None:
        files[name].unlink()
    else:
        files[name].write_bytes(data)
    with pytest.raises(CertificateUnusable, match=name):
        RPCServer(with_settings(known, **files), [service(Servicer())])
