"""Where a producer's calls go to, with which key, and behind which TLS."""

from dataclasses import dataclass
from pathlib import Path

import grpc
import typer

from wapsi.producer import Producer


@dataclass(frozen=True, slots=True)
class Server:
    """`credentials` are None for a server without TLS."""

    target: str
    key: str
    credentials: grpc.ChannelCredentials | None

    def producer(self) -> Producer:
        return Producer(self.target, self.key, credentials=self.credentials)


def credentials_of(tls: bool, ca: Path | None, cert: Path | None, key: Path | None) -> grpc.ChannelCredentials | None:
    """Of PEM files: whom to believe (None: who is commonly believed), and what to show. Raises typer.BadParameter."""
    if not tls and ca is None and cert is None and key is None:
        return None
    if (cert is None) != (key is None):
        raise typer.BadParameter("--tls-cert and --tls-key go together.")
    return grpc.ssl_channel_credentials(*(None if file is None else file.read_bytes() for file in (ca, key, cert)))
