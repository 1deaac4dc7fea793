"""Passkeys (WebAuthn): a device proves that it holds a key, and that its owner has unlocked it.

A passkey that has verified its user signs in without a password; otherwise it is a second factor beside one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import structlog
from sqlalchemy import Select, func, select
from sqlalchemy.dialects.postgresql import insert
from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import base64url_to_bytes, options_to_json_dict
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from domains.customers.errors import PasskeyExists, PasskeyInvalid, PasskeyLimit, PasskeyNotFound
from domains.customers.models import PasskeyRow, SubjectKind
from domains.customers.service.challenges import LIFETIME_S
from domains.customers.service.subjects import Account
from wapsi.clock import now
from wapsi.config import Settings
from wapsi.db import ReadSession, WriteSession
from wapsi.ids import new_id

log = structlog.get_logger(__name__)

RP_NAME = "Wapsi"
MAX_PASSKEYS = 20
_UNREADABLE = (WebAuthnException, ValueError, TypeError, LookupError)


@dataclass(frozen=True, slots=True)
class PasskeyRef:
    """`backed_up`: kept by the maker of the device or a password manager, and so not lost with the device."""

    id: UUID
    name: str
    backed_up: bool
    created_at: datetime
    last_used_at: datetime | None


def registration_options(settings: Settings, account: Account, nonce: bytes, known: list[bytes]) -> dict[str, Any]:
    """For navigator.credentials.create(): with the id of the account as the only thing that a device keeps of us."""
    options = generate_registration_options(
        rp_id=_rp_id(settings),
        rp_name=RP_NAME,
        user_id=account.id.bytes,
        user_name=account.label,
        challenge=nonce,
        timeout=LIFETIME_S * 1000,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED, user_verification=UserVerificationRequirement.REQUIRED
        ),
        exclude_credentials=[PublicKeyCredentialDescriptor(id=credential_id) for credential_id in known],
    )
    return options_to_json_dict(options)


def sign_in_options(settings: Settings, nonce: bytes, known: list[bytes] | None = None) -> dict[str, Any]:
    """For navigator.credentials.get(). `known`: those of the account after its password; without it any passkey."""
    first = known is None
    options = generate_authentication_options(
        rp_id=_rp_id(settings),
        challenge=nonce,
        timeout=LIFETIME_S * 1000,
        allow_credentials=[PublicKeyCredentialDescriptor(id=credential_id) for credential_id in known or ()],
        user_verification=(UserVerificationRequirement.REQUIRED if first else UserVerificationRequirement.DISCOURAGED),
    )
    return options_to_json_dict(options)


async def credential_ids(session: ReadSession, kind: SubjectKind, subject_id: UUID) -> list[bytes]:
    return list(await session.scalars(_mine(kind, subject_id).with_only_columns(PasskeyRow.credential_id)))


async def store_passkey(
    session: WriteSession, settings: Settings, account: Account, nonce: bytes, answer: Mapping[str, Any], name: str
) -> PasskeyRef:
    """Raises PasskeyInvalid, PasskeyExists and PasskeyLimit."""
    count = await session.scalar(_mine(account.kind, account.id).with_only_columns(func.count()))
    if (count or 0) >= MAX_PASSKEYS:
        raise PasskeyLimit(f"An account may have at most {MAX_PASSKEYS} passkeys. Remove one first.")
    try:
        verified = verify_registration_response(
            credential=dict(answer),
            expected_challenge=nonce,
            expected_rp_id=_rp_id(settings),
            expected_origin=_origins(settings),
            require_user_verification=True,
        )
    except _UNREADABLE as error:
        log.info("passkey_not_registered", cause=str(error))
        raise PasskeyInvalid from None
    row = await session.scalar(
        insert(PasskeyRow)
        .values(
            id=new_id(),
            subject_kind=account.kind,
            subject_id=account.id,
            credential_id=verified.credential_id,
            public_key=verified.credential_public_key,
            sign_count=verified.sign_count,
            backed_up=verified.credential_backed_up,
            name=name,
        )
        .on_conflict_do_nothing(index_elements=[PasskeyRow.credential_id])
        .returning(PasskeyRow)
    )
    if row is None:
        raise PasskeyExists("This passkey is in use already.")
    return _ref(row)


async def owner_of_passkey(session: ReadSession, answer: Mapping[str, Any]) -> tuple[SubjectKind, UUID] | None:
    """Whose passkey the answer names, before anything of it is believed."""
    try:
        credential_id = base64url_to_bytes(str(answer["id"]))
    except _UNREADABLE:
        return None
    row = await session.scalar(select(PasskeyRow).where(PasskeyRow.credential_id == credential_id))
    return None if row is None else (SubjectKind(row.subject_kind), row.subject_id)


async def use_passkey(
    session: WriteSession,
    settings: Settings,
    nonce: bytes,
    answer: Mapping[str, Any],
    subject: tuple[SubjectKind, UUID] | None = None,
) -> tuple[SubjectKind, UUID] | None:
    """Whose it is; None for whatever is wrong. `subject`: whose it must be, after their password was shown.

    Without one, the device must have verified its user: it stands for both factors.
    """
    try:
        credential_id = base64url_to_bytes(str(answer["id"]))
        found = select(PasskeyRow).where(PasskeyRow.credential_id == credential_id).with_for_update()
        row = await session.scalar(found)
        if row is None:
            return None
        owner = SubjectKind(row.subject_kind), row.subject_id
        handle = answer["response"].get("userHandle")
        if (subject or owner) != owner or (handle is not None and base64url_to_bytes(handle) != owner[1].bytes):
            return None
        verified = verify_authentication_response(
            credential=dict(answer),
            expected_challenge=nonce,
            expected_rp_id=_rp_id(settings),
            expected_origin=_origins(settings),
            credential_public_key=row.public_key,
            credential_current_sign_count=row.sign_count,
            require_user_verification=subject is None,
        )
    except _UNREADABLE as error:
        log.info("passkey_refused", cause=str(error))
        return None
    row.sign_count = verified.new_sign_count
    row.backed_up = verified.credential_backed_up
    row.last_used_at = now()
    await session.flush()
    return owner


async def list_passkeys(session: ReadSession, kind: SubjectKind, subject_id: UUID) -> list[PasskeyRef]:
    return [_ref(row) for row in await session.scalars(_mine(kind, subject_id).order_by(PasskeyRow.id))]


async def find_passkey(session: WriteSession, kind: SubjectKind, subject_id: UUID, passkey_id: UUID) -> PasskeyRow:
    """Locked. Raises PasskeyNotFound, for another's too."""
    row = await session.scalar(_mine(kind, subject_id).where(PasskeyRow.id == passkey_id).with_for_update())
    if row is None:
        raise PasskeyNotFound("You have no such passkey.", passkey_id=str(passkey_id))
    return row


async def rename_passkey(
    session: WriteSession, kind: SubjectKind, subject_id: UUID, passkey_id: UUID, name: str
) -> PasskeyRef:
    """Raises PasskeyNotFound."""
    row = await find_passkey(session, kind, subject_id, passkey_id)
    row.name = name
    await session.flush()
    return _ref(row)


def _mine(kind: SubjectKind, subject_id: UUID) -> Select[PasskeyRow]:
    return select(PasskeyRow).where(PasskeyRow.subject_kind == kind, PasskeyRow.subject_id == subject_id)


def _ref(row: PasskeyRow) -> PasskeyRef:
    return PasskeyRef(row.id, row.name, row.backed_up, row.created_at, row.last_used_at)


def _rp_id(settings: Settings) -> str:
    return settings.passkey_rp_id or urlsplit(settings.public_url).hostname or "localhost"


def _origins(settings: Settings) -> list[str]:
    if settings.passkey_origins:
        return settings.passkey_origins
    url = urlsplit(settings.public_url)
    return [f"{url.scheme}://{url.netloc}"]
