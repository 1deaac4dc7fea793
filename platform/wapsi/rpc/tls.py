"""TLS on the gRPC port, with client certificates where a CA for them is set.

Certificates that are renewed are taken without a restart: each new connection looks whether a file has changed.
"""

import hashlib
import ssl
from collections.abc import Iterable, Mapping
from pathlib import Path

import grpc
import structlog

from wapsi.config import Settings

log = structlog.get_logger(__name__)
_Stamp = tuple[tuple[int, int, int], ...]


class CertificateUnusable(Exception):
    """A file of WAPSI_GRPC_TLS_… that cannot be read, or does not fit the others; in words, with its name."""


class ServerCertificates:
    """`credentials()` for the server's port. Raises CertificateUnusable where the files are no good at the start."""

    def __init__(self, cert_file: Path, key_file: Path, client_ca_file: Path | None) -> None:
        self._cert_file = cert_file
        self._key_file = key_file
        self._client_ca_file = client_ca_file
        self._stamp = self._stamped()
        self._current = self._read()

    @classmethod
    def of(cls, settings: Settings) -> "ServerCertificates | None":
        """None where the port is to be without TLS. Raises CertificateUnusable."""
        cert_file, key_file = settings.grpc_tls_cert_file, settings.grpc_tls_key_file
        if cert_file is None or key_file is None:
            return None
        return cls(cert_file, key_file, settings.grpc_tls_client_ca_file)

    def credentials(self) -> grpc.ServerCredentials:
        return grpc.dynamic_ssl_server_credentials(
            self._current,
            self._renewed,  # type: ignore[arg-type]  # the stubs know no None, which gRPC takes for "as before"
            require_client_authentication=self._client_ca_file is not None,
        )

    def _renewed(self) -> grpc.ServerCertificateConfiguration | None:
        """None where nothing has changed. What is no good is not taken: connections go on with what was."""
        try:
            stamp = self._stamped()
            if stamp == self._stamp:
                return None
            self._stamp = stamp
            self._current = self._read()
        except CertificateUnusable as error:
            log.warning("grpc_certificate_unusable", cause=str(error))
            return None
        log.info("grpc_certificate_renewed")
        return self._current

    def _files(self) -> list[Path]:
        return [file for file in (self._cert_file, self._key_file, self._client_ca_file) if file is not None]

    def _stamped(self) -> _Stamp:
        try:
            found = [file.stat() for file in self._files()]
        except OSError as error:
            raise CertificateUnusable(f"{error.filename} cannot be read: {error.strerror}.") from error
        return tuple((file.st_ino, file.st_mtime_ns, file.st_size) for file in found)

    def _read(self) -> grpc.ServerCertificateConfiguration:
        try:
            chain, key = self._cert_file.read_bytes(), self._key_file.read_bytes()
            ca = None if self._client_ca_file is None else self._client_ca_file.read_bytes()
        except OSError as error:
            raise CertificateUnusable(f"{error.filename} cannot be read: {error.strerror}.") from error
        # gRPC would start with a pair that does not fit, and fail every handshake.
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self._cert_file, self._key_file, password="")
        except (ssl.SSLError, ValueError) as error:
            files = f"{self._cert_file} and {self._key_file}"
            raise CertificateUnusable(f"{files} are no certificate in PEM with its unencrypted key.") from error
        if self._client_ca_file is not None:
            try:
                ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(self._client_ca_file)
            except ssl.SSLError as error:
                raise CertificateUnusable(f"{self._client_ca_file} has no certificate in PEM.") from error
        return grpc.ssl_server_certificate_configuration([(key, chain)], root_certificates=ca)


def fingerprint_of(auth_context: Mapping[str, Iterable[bytes]]) -> bytes | None:
    """SHA-256 of the client certificate of a call's connection; None where there is none."""
    for pem in auth_context.get("x509_pem_cert", ()):
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem.decode("ascii").rstrip("\0"))).digest()
    return None
