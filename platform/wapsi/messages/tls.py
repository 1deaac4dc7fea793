"""Whom TLS believes: the certificates of the system, or those that SSL_CERT_FILE names."""

import asyncio
import ssl
from functools import lru_cache


async def tls_context() -> ssl.SSLContext:
    """Read once, and not on the event loop: it is a file of hundreds of certificates."""
    return await asyncio.to_thread(_read)


@lru_cache(maxsize=1)
def _read() -> ssl.SSLContext:
    return ssl.create_default_context()
