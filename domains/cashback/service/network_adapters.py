"""How each network's messages are read, and the addresses of those that sign nothing."""

import asyncio
import contextlib
import hashlib
import hmac
import ipaddress
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from domains.cashback.errors import AdapterInvalid, AdapterMissing
from domains.cashback.models import NetworkAdapterRow
from domains.cashback.service import mappings
from domains.cashback.service.adapters import (
    DEFAULT_MAPPINGS,
    GENERIC,
    KINDS,
    STANDARD,
    AdapterSettings,
    mapping_of,
    zone_of,
)
from domains.cashback.service.events import Malformed
from domains.merchants import service as merchants
from domains.merchants.service.sellers import sellers
from wapsi.clock import now
from wapsi.db import ReadSession, WriteSession
from wapsi.errors import FieldViolation
from wapsi.money import MINOR_DIGITS
from wapsi.security import audit
from wapsi.security.principal import Principal

_TOKEN_BYTES = 32
# From disk, in a thread: once a process.
_zones_read = {"UTC"}
_SETTINGS = ("merchants", "time_zone", "currency", "mapping", "file_mapping")


@dataclass(frozen=True, slots=True)
class NetworkAdapter:
    """`version` is 0 where nothing was set: then messages are in our own shape. `allowed_addresses`: networks in CIDR
    notation that the unsigned address may be called from, none for any. `has_address`: there is such an address."""

    network: str
    network_id: UUID
    kind: str
    settings: AdapterSettings
    version: int
    allowed_addresses: tuple[str, ...]
    has_address: bool
    previous_address_until: datetime | None
    updated_at: datetime | None


@dataclass(frozen=True, slots=True)
class NewAdapter:
    kind: str
    settings: AdapterSettings
    allowed_addresses: tuple[str, ...] = ()


async def get_adapter(session: ReadSession, network: str) -> NetworkAdapter:
    """Raises NetworkNotFound."""
    found = await merchants.get_network(session, network)
    return await _read(found, await session.get(NetworkAdapterRow, found.id))


async def set_adapter(session: WriteSession, principal: Principal, network: str, new: NewAdapter) -> NetworkAdapter:
    """How the network's messages are read from now on. What came before stays as it was read.

    Where its status words have no mapping yet, those that the adapter knows become the first. Raises NetworkNotFound
    and AdapterInvalid.
    """
    found = await merchants.get_network(session, network)
    await check(session, new)
    row = await session.get_locked(NetworkAdapterRow, found.id)
    before = _told(_adapter(found, row))
    if row is None:
        row = NetworkAdapterRow(network_id=found.id, version=0)
        session.add(row)
    row.kind, row.settings = new.kind, as_json(new.settings)
    row.allowed_addresses = list(new.allowed_addresses)
    row.version += 1
    row.updated_by, row.updated_at = str(principal), now()
    await session.flush()
    words = DEFAULT_MAPPINGS.get(new.kind)
    if words is not None:
        await mappings.first_mapping(await session.driver(), found.slug, words)
    after = _adapter(found, row)
    target = f"network:{found.slug}"
    await audit.record(
        session, principal, action="network.adapter_set", target=target, before=before, after=_told(after)
    )
    return after


async def rotate_address(
    session: WriteSession, principal: Principal, network: str, overlap: timedelta
) -> tuple[NetworkAdapter, str]:
    """A new address for a network that signs nothing, and its token; the one before counts for `overlap` more.

    Raises NetworkNotFound, and AdapterMissing where it was never said how the network's messages are read.
    """
    found = await merchants.get_network(session, network)
    row = await session.get_locked(NetworkAdapterRow, found.id)
    if row is None:
        raise AdapterMissing(f"Say first how the messages of {network} are read: set its adapter.", network=network)
    before = _told(_adapter(found, row))
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    keeps = row.token_hash is not None and overlap > timedelta(0)
    row.token_previous_hash = row.token_hash if keeps else None
    row.token_previous_until = now() + overlap if keeps else None
    row.token_hash = _hash(token)
    await session.flush()
    after = _adapter(found, row)
    await audit.record(
        session,
        principal,
        action="network.address_rotated",
        target=f"network:{found.slug}",
        before=before,
        after=_told(after) | {"rotated_at": now().isoformat()},
    )
    return after, token


async def close_address(session: WriteSession, principal: Principal, network: str) -> NetworkAdapter:
    """From now on only what is signed is taken. Raises NetworkNotFound."""
    found = await merchants.get_network(session, network)
    row = await session.get_locked(NetworkAdapterRow, found.id)
    if row is None or row.token_hash is None:
        return _adapter(found, row)
    before = _told(_adapter(found, row))
    row.token_hash = row.token_previous_hash = row.token_previous_until = None
    await session.flush()
    after = _adapter(found, row)
    target = f"network:{found.slug}"
    await audit.record(
        session, principal, action="network.address_closed", target=target, before=before, after=_told(after)
    )
    return after


async def adapter_at_address(session: ReadSession, network: str, token: str, client: str) -> NetworkAdapter | None:
    """Whose address it is, None where it is nobody's: a token that is wrong or has expired, or a caller from elsewhere.

    `client` is the caller's address. Raises NetworkNotFound.
    """
    found = await merchants.get_network(session, network)
    row = await session.get(NetworkAdapterRow, found.id)
    if row is None:
        return None
    good = [row.token_hash]
    if row.token_previous_until is not None and row.token_previous_until > now():
        good.append(row.token_previous_hash)
    given = _hash(token)
    # All are compared, each in constant time.
    matches = [hmac.compare_digest(given, one) for one in good if one is not None]
    if not any(matches) or not _is_allowed(client, row.allowed_addresses):
        return None
    return await _read(found, row)


async def check(session: ReadSession, new: NewAdapter) -> None:
    """Raises AdapterInvalid, naming all that is wrong."""
    faults: list[FieldViolation] = []
    settings = new.settings
    if new.kind not in KINDS:
        faults.append(FieldViolation("kind", f"is none of {', '.join(KINDS)}"))
    if new.kind == GENERIC and not settings.mapping:
        faults.append(FieldViolation("mapping", "is needed by the generic adapter"))
    for name, mapping in (("mapping", settings.mapping), ("file_mapping", settings.file_mapping)):
        try:
            if mapping:
                mapping_of(mapping)
        except Malformed as fault:
            faults.append(FieldViolation(name, str(fault)))
    try:
        await asyncio.to_thread(zone_of, settings.time_zone)
    except Malformed:
        faults.append(FieldViolation("time_zone", "is no name of the IANA time zone database"))
    if settings.currency is not None and settings.currency not in MINOR_DIGITS:
        faults.append(FieldViolation("currency", "is no ISO 4217 code"))
    for address in new.allowed_addresses:
        try:
            ipaddress.ip_network(address)
        except ValueError:
            faults.append(FieldViolation("allowed_addresses", f"{address!r} is no network such as 203.0.113.0/24"))
    slugs = set(settings.merchants.values())
    known = {seller.slug for seller in await sellers(await session.driver(), slugs, ())}
    faults += [FieldViolation("merchants", f"there is no merchant {slug}") for slug in sorted(slugs - known)[:20]]
    if faults:
        raise AdapterInvalid("The adapter's settings are not valid.", violations=faults)


async def missing_words(session: ReadSession, adapter: NetworkAdapter) -> list[str]:
    """Status words that the adapter knows and the network's present mapping does not."""
    _, known = await mappings.latest_mapping(await session.driver(), adapter.network)
    return sorted(set(DEFAULT_MAPPINGS.get(adapter.kind, ())) - known.keys())


def as_json(settings: AdapterSettings) -> dict[str, Any]:
    stored = {name: getattr(settings, name) for name in _SETTINGS}
    return {name: dict(value) if isinstance(value, Mapping) else value for name, value in stored.items() if value}


async def _read(network: merchants.NetworkRef, row: NetworkAdapterRow | None) -> NetworkAdapter:
    """Ready to be used on the loop."""
    adapter = _adapter(network, row)
    if adapter.settings.time_zone not in _zones_read:
        with contextlib.suppress(Malformed):
            await asyncio.to_thread(zone_of, adapter.settings.time_zone)
        _zones_read.add(adapter.settings.time_zone)
    return adapter


def _adapter(network: merchants.NetworkRef, row: NetworkAdapterRow | None) -> NetworkAdapter:
    if row is None:
        return NetworkAdapter(network.slug, network.id, STANDARD, AdapterSettings(), 0, (), False, None, None)
    return NetworkAdapter(
        network=network.slug,
        network_id=network.id,
        kind=row.kind,
        settings=AdapterSettings(**row.settings),
        version=row.version,
        allowed_addresses=tuple(row.allowed_addresses),
        has_address=row.token_hash is not None,
        previous_address_until=row.token_previous_until,
        updated_at=row.updated_at,
    )


def _told(adapter: NetworkAdapter) -> dict[str, Any]:
    """For the audit log: no token, nor its hash."""
    until = adapter.previous_address_until
    return {
        "kind": adapter.kind,
        "settings": as_json(adapter.settings),
        "version": adapter.version,
        "allowed_addresses": list(adapter.allowed_addresses),
        "has_address": adapter.has_address,
        "previous_address_until": None if until is None else until.isoformat(),
    }


def _hash(token: str) -> bytes:
    """As good as a slow one: 256 random bits are not guessed."""
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()


def _is_allowed(client: str, allowed: list[str]) -> bool:
    if not allowed:
        return True
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in ipaddress.ip_network(network) for network in allowed)
