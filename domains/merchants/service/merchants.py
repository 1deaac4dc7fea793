"""Merchants: finding, making, changing and moving them through their states."""

from collections.abc import Collection
from typing import Any, TypedDict
from uuid import UUID

from sqlalchemy import Select, func, select, update
from sqlalchemy.dialects.postgresql import insert

from domains.merchants.errors import (
    CurrencyUnknown,
    MerchantArchived,
    MerchantExists,
    MerchantNotFound,
    MerchantNotReady,
    NoRates,
)
from domains.merchants.models import (
    MERCHANT_STATES,
    ClawbackTerms,
    ConfirmationTerms,
    MerchantRow,
    MerchantStatus,
    NetworkRow,
)
from domains.merchants.service.networks import get_network
from domains.merchants.service.rates import rates_at
from domains.merchants.service.refs import MerchantRef, NewMerchant
from domains.merchants.service.tracking import check_deep_link_template, check_landing_hosts
from wapsi.clock import now
from wapsi.db import ReadSession, WriteSession
from wapsi.ids import new_id
from wapsi.money import MINOR_DIGITS
from wapsi.security import audit
from wapsi.security.principal import Principal


class MerchantChanges(TypedDict, total=False):
    """What is to change; a key that is absent stays. `network` is a slug, None for a direct merchant.

    The slug and the currency never change: links and rates stand on them.
    """

    name: str
    description: str
    logo_url: str | None
    network: str | None
    deep_link_template: str | None
    allowed_landing_hosts: Collection[str]
    click_window_days: int
    tracking_days: int
    validation_days: int
    confirmation: ConfirmationTerms
    clawback: ClawbackTerms
    feed_settings: dict[str, Any]


async def get_merchant(
    session: ReadSession, slug: str, *, statuses: Collection[MerchantStatus] | None = None
) -> MerchantRef:
    """Whatever its status, unless `statuses` limits it. Raises MerchantNotFound."""
    statement = _select().where(MerchantRow.slug == slug)
    if statuses is not None:
        statement = statement.where(MerchantRow.status.in_(statuses))
    return await _one(session, statement, slug)


async def get_merchant_by_id(session: ReadSession, merchant_id: UUID) -> MerchantRef:
    """Raises MerchantNotFound."""
    return await _one(session, _select().where(MerchantRow.id == merchant_id), str(merchant_id))


async def merchants_by_id(session: ReadSession, ids: Collection[UUID]) -> dict[UUID, MerchantRef]:
    """Whatever their status, in one statement; one that does not exist is absent."""
    rows = await session.execute(_select().where(MerchantRow.id.in_(ids)))
    return {row.MerchantRow.id: _ref(row.MerchantRow, row.network) for row in rows}


async def active_merchants(session: ReadSession) -> dict[UUID, MerchantRef]:
    rows = await session.execute(_select().where(MerchantRow.status == MerchantStatus.ACTIVE))
    return {row.MerchantRow.id: _ref(row.MerchantRow, row.network) for row in rows}


async def list_merchants(
    session: ReadSession,
    *,
    limit: int,
    after_slug: str | None = None,
    name_prefix: str | None = None,
    statuses: Collection[MerchantStatus] | None = None,
    merchant_ids: Collection[UUID] | None = None,
) -> list[MerchantRef]:
    """By slug, those after `after_slug`. `name_prefix` ignores case. None for a filter is all."""
    statement = _select().order_by(MerchantRow.slug).limit(limit)
    if after_slug is not None:
        statement = statement.where(MerchantRow.slug > after_slug)
    if name_prefix:
        statement = statement.where(func.lower(MerchantRow.name).startswith(name_prefix.lower(), autoescape=True))
    if statuses is not None:
        statement = statement.where(MerchantRow.status.in_(statuses))
    if merchant_ids is not None:
        statement = statement.where(MerchantRow.id.in_(merchant_ids))
    return [_ref(row.MerchantRow, row.network) for row in await session.execute(statement)]


async def create_merchant(session: WriteSession, principal: Principal | None, new: NewMerchant) -> MerchantRef:
    """A draft.

    Raises MerchantExists, NetworkNotFound, CurrencyUnknown, DeepLinkTemplateInvalid and LandingHostInvalid.
    """
    if new.currency not in MINOR_DIGITS:
        raise CurrencyUnknown("currency must be an ISO 4217 code, such as PKR.")
    network = None if new.network is None else await get_network(session, new.network)
    template = None if new.deep_link_template is None else check_deep_link_template(new.deep_link_template)
    statement = (
        insert(MerchantRow)
        .values(
            id=new_id(),
            slug=new.slug,
            name=new.name,
            description=new.description,
            logo_url=new.logo_url,
            network_id=None if network is None else network.id,
            currency=new.currency,
            deep_link_template=template,
            allowed_landing_hosts=check_landing_hosts(new.allowed_landing_hosts),
            click_window_days=new.click_window_days,
            tracking_days=new.tracking_days,
            validation_days=new.validation_days,
            confirmation=new.confirmation,
            clawback=new.clawback,
            feed_settings=dict(new.feed_settings),
        )
        .on_conflict_do_nothing(index_elements=[MerchantRow.slug])
        .returning(MerchantRow)
    )
    row = await session.scalar(statement)
    if row is None:
        raise MerchantExists(f"There is a merchant {new.slug} already.", merchant=new.slug)
    await audit.record(
        session,
        principal,
        action="merchant.created",
        target=f"merchant:{new.slug}",
        after={"name": row.name, "currency": row.currency, "network": new.network},
    )
    return _ref(row, new.network)


async def update_merchant(
    session: WriteSession, principal: Principal | None, slug: str, changes: MerchantChanges
) -> MerchantRef:
    """Raises MerchantNotFound, MerchantArchived, MerchantNotReady and what create_merchant raises."""
    row = await _locked(session, slug)
    if row.status == MerchantStatus.ARCHIVED:
        raise MerchantArchived(f"The merchant {slug} is archived; it cannot be changed.", merchant=slug)
    values: dict[str, Any] = dict(changes)
    if "network" in changes:
        network = values.pop("network")
        values["network_id"] = None if network is None else (await get_network(session, network)).id
    if "deep_link_template" in changes and changes["deep_link_template"] is not None:
        check_deep_link_template(changes["deep_link_template"])
    if "allowed_landing_hosts" in changes:
        values["allowed_landing_hosts"] = check_landing_hosts(changes["allowed_landing_hosts"])
    changed = {key: value for key, value in values.items() if getattr(row, key) != value}
    if changed:
        before = {key: _json(getattr(row, key)) for key in changed}
        for key, value in changed.items():
            setattr(row, key, value)
        if row.status == MerchantStatus.ACTIVE:
            await _check_ready(session, row)
        row.revision += 1
        row.updated_at = now()
        await session.flush()
        await audit.record(
            session,
            principal,
            action="merchant.updated",
            target=f"merchant:{slug}",
            before=before,
            after={key: _json(value) for key, value in changed.items()},
        )
    return await get_merchant(session, slug)


async def move_merchant(
    session: WriteSession, principal: Principal | None, slug: str, target: MerchantStatus
) -> MerchantRef:
    """Raises MerchantNotFound, IllegalMove and, towards active, MerchantNotReady."""
    row = await _locked(session, slug)
    before = MerchantStatus(row.status)
    MERCHANT_STATES.check(before, target)
    if target is MerchantStatus.ACTIVE:
        await _check_ready(session, row)
    row.status = target
    row.revision += 1
    row.updated_at = now()
    await session.flush()
    await audit.record(
        session,
        principal,
        action=f"merchant.{target}",
        target=f"merchant:{slug}",
        before={"status": before},
        after={"status": target},
    )
    return await get_merchant(session, slug)


async def note_change(session: WriteSession, merchant_id: UUID) -> None:
    """For caches: something that shoppers see of the merchant is another."""
    await session.execute(
        update(MerchantRow).where(MerchantRow.id == merchant_id).values(revision=MerchantRow.revision + 1)
    )


async def _check_ready(session: ReadSession, row: MerchantRow) -> None:
    """An active merchant sends customers somewhere and owes them a rate for it."""
    missing = []
    if row.deep_link_template is None:
        missing.append("a deep_link_template")
    if not row.allowed_landing_hosts:
        missing.append("allowed_landing_hosts")
    try:
        await rates_at(session, row.id, now())
    except NoRates:
        missing.append("rates that have begun")
    if missing:
        raise MerchantNotReady(
            f"The merchant {row.slug} cannot be active without {', '.join(missing)}.", merchant=row.slug
        )


async def _locked(session: WriteSession, slug: str) -> MerchantRow:
    row = await session.scalar(select(MerchantRow).where(MerchantRow.slug == slug).with_for_update())
    if row is None:
        raise _not_found(slug)
    return row


async def _one(session: ReadSession, statement: Select[MerchantRow, str], name: str) -> MerchantRef:
    found = (await session.execute(statement)).one_or_none()
    if found is None:
        raise _not_found(name)
    return _ref(found.MerchantRow, found.network)


def _select() -> Select[MerchantRow, str]:
    return select(MerchantRow, NetworkRow.slug.label("network")).outerjoin(
        NetworkRow, NetworkRow.id == MerchantRow.network_id
    )


def _not_found(merchant: str) -> MerchantNotFound:
    return MerchantNotFound(f"There is no merchant {merchant}.", merchant=merchant)


def _json(value: Any) -> Any:
    return str(value) if isinstance(value, UUID) else value


def _ref(row: MerchantRow, network: str | None) -> MerchantRef:
    return MerchantRef(
        id=row.id,
        slug=row.slug,
        name=row.name,
        status=MerchantStatus(row.status),
        network=network,
        currency=row.currency,
        deep_link_template=row.deep_link_template,
        allowed_landing_hosts=tuple(row.allowed_landing_hosts),
        click_window_days=row.click_window_days,
        validation_days=row.validation_days,
        tracking_days=row.tracking_days,
        logo_url=row.logo_url,
        description=row.description,
        feed_settings=row.feed_settings,
        confirmation=ConfirmationTerms(row.confirmation),
        clawback=ClawbackTerms(row.clawback),
    )
