"""Taking a merchant's last publication back: what it changed or withdrew is restored, what it brought is withdrawn.

A rollback is a publication of its own, so it can be taken back too. Times do not go back: a message that is older than
what was taken back does not win, and the merchant's next feed does.
"""

from uuid import UUID

from domains.merchants import service as merchants
from domains.offers import errors
from domains.offers.models import SyncMode, SyncRow
from domains.offers.service import publish, syncs
from domains.offers.service.prepare import CONTENT_COLUMNS
from domains.offers.service.views import SyncView
from wapsi.clock import now
from wapsi.db import WriteSession
from wapsi.queue.jobs import Permanent
from wapsi.security import audit
from wapsi.security.principal import Principal


async def start_rollback(session: WriteSession, principal: Principal, merchant_slug: str, request_id: str) -> SyncView:
    """Queues a sync that takes the last publication back; a repeated request_id is the same one.

    Raises MerchantNotFound, NothingToRollBack, RequestIDReused.
    """
    merchant = await merchants.get_merchant(session, merchant_slug)
    catalogue = await publish.lock_catalogue(session, merchant.id)
    new = syncs.NewSync(
        merchant=merchant_slug, request_id=request_id, mode=SyncMode.ROLLBACK, source=f"version {catalogue.version}"
    )
    sync = await syncs.start_sync(session, principal, new)
    if sync.state != "open":
        return sync
    if not _is_possible(catalogue):
        raise errors.NothingToRollBack(_WORDS.format(merchant=merchant_slug), merchant=merchant_slug)
    await syncs.queue(session, sync.id)
    await audit.record(
        session,
        principal,
        action="catalogue.rolled_back",
        target=f"merchant:{merchant_slug}",
        before={"version": catalogue.version},
        after={"sync_id": str(sync.id)},
    )
    return await syncs.get_sync(session, principal, sync.id)


_WORDS = "There is no earlier version of {merchant}'s catalogue to go back to."


def _is_possible(catalogue: publish.LockedCatalogue) -> bool:
    """The first version has nothing before it, and one of an earlier release has not kept what it replaced."""
    return catalogue.version > 1 and catalogue.revertible_version == catalogue.version


async def take_back(session: WriteSession, sync_id: UUID, merchant_id: UUID, catalogue: publish.LockedCatalogue) -> str:
    """Restores the version before, in the transaction that has the catalogue's lock; returns what was done, in words.

    Raises Permanent, where another publication has come in between.
    """
    row = await session.get(SyncRow, sync_id)
    assert row is not None
    if row.source != f"version {catalogue.version}" or not _is_possible(catalogue):
        raise Permanent(f"{row.source} is no longer the last one; the last is version {catalogue.version}.")
    driver = await session.driver()
    moment = now()
    version = catalogue.version + 1
    await driver.execute(_KEEP, merchant_id, catalogue.version, version)
    await driver.execute(_KEEP_OLD_PRICES, merchant_id, catalogue.version, moment)
    restored = publish.rows_of(await driver.execute(_RESTORE, merchant_id, catalogue.version, version, moment))
    withdrawn = publish.rows_of(await driver.execute(_WITHDRAW_NEW, merchant_id, catalogue.version, version))
    publication = publish.Publication(session, sync_id, merchant_id, version)
    await publication.finish(floor_at=catalogue.floor_at, full=False, changed=True, stated_at=moment, feed_is_all=False)
    return (
        f"Version {catalogue.version} was taken back: {restored} offers are as they were before it, {withdrawn} that "
        f"it brought are withdrawn. This is version {version}."
    )


_PRICE_DIFFERS = publish.PRICE_DIFFERS
_REVISED = ", ".join(f"o.{column}" for column in publish.OFFER_COLUMNS)
_RESTORED = ("status", "content_hash", *CONTENT_COLUMNS)
# Both what the last version changed and what it brought: the latter has that version and nothing before it.
_KEEP = (
    f"INSERT INTO offer_revisions (replaced_in, {', '.join(publish.OFFER_COLUMNS)}) SELECT $3, {_REVISED} FROM offers o"  # noqa: S608  # constants
    " WHERE o.merchant_id = $1 AND (o.catalogue_version = $2 AND o.status = 'active'"
    " OR o.id IN (SELECT id FROM offer_revisions WHERE merchant_id = $1 AND replaced_in = $2))"
)
_KEEP_OLD_PRICES = (
    "INSERT INTO offer_prices (id, valid_from, valid_until, price_minor, sale_price_minor, currency)"  # noqa: S608  # constants
    " SELECT o.id, o.price_since, $3, o.price_minor, o.sale_price_minor, o.currency"
    " FROM offers o JOIN offer_revisions c ON c.id = o.id WHERE c.merchant_id = $1 AND c.replaced_in = $2"
    f" AND o.price_minor IS NOT NULL AND {_PRICE_DIFFERS}"
)
_RESTORE = (
    "UPDATE offers o SET catalogue_version = $3,"  # noqa: S608  # constants
    f" price_since = CASE WHEN {_PRICE_DIFFERS} THEN $4 ELSE o.price_since END, "
    + ", ".join(f"{column} = c.{column}" for column in _RESTORED)
    + " FROM offer_revisions c WHERE c.merchant_id = $1 AND c.replaced_in = $2 AND o.id = c.id"
)
_WITHDRAW_NEW = (
    "UPDATE offers SET status = 'withdrawn', catalogue_version = $3"
    " WHERE merchant_id = $1 AND catalogue_version = $2 AND status = 'active'"
)
