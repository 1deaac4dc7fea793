"""Makes the sample merchants of `wapsi up`, once: what is there already is left as it is."""

import asyncio
import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.progress import Progress, TaskID

from domains.customers import service as customers
from domains.merchants import service as merchants
from domains.offers import service as offers
from domains.offers.feeds import FeedOptions
from wapsi.cli.demo import read_demo, write_demo
from wapsi.cli.feed import read_items
from wapsi.cli.feed_view import STATES, feed_progress
from wapsi.clock import now
from wapsi.config import Settings
from wapsi.db import Database, WriteSession
from wapsi.producer import Producer, ProgressReport
from wapsi.samples import DEFAULT_SEED, SampleShop, generate
from wapsi.security.passwords import hash_password
from wapsi.security.permissions import OperatorRole
from wapsi.security.signing import Keys

OPERATOR = "operator@wapsi.example"
CUSTOMER = "ayesha@wapsi.example"
_SEARCH_TIMEOUT_S = 60.0


@dataclass(slots=True)
class Demo:
    """What .wapsi/demo.json holds. `networks` maps each network's slug to its postback secret."""

    as_of: str
    http_url: str
    grpc_target: str
    operator_email: str
    operator_password: str
    customer_email: str
    customer_password: str
    producer_key: str
    network: str
    postback_secret: str
    networks: dict[str, str]
    operator_totp_secret: str = ""
    offers: int = 0
    shops: int = 0


async def seed(settings: Settings, folder: Path) -> Demo:
    """Raises SyncRejected, EmbeddedError and what the services raise."""
    db = Database(settings, role="seed")
    try:
        known = _known_demo()
        # Kept from the first start on: the feeds describe one moment, around which their sales lie.
        as_of = now() if known is None else datetime.fromisoformat(known.as_of)
        shops = await asyncio.to_thread(generate, folder, DEFAULT_SEED, as_of)
        demo = known or await _people_and_merchants(db, Keys(settings), shops, as_of)
        if not demo.operator_totp_secret:
            demo.operator_totp_secret = await _enrol_operator(db, Keys(settings))
        demo.http_url = settings.public_url
        demo.grpc_target = f"127.0.0.1:{settings.grpc_port}"
        write_demo(asdict(demo))
        await _push_feeds(demo, shops, as_of)
        demo.shops = len(shops)
        demo.offers = sum(shop.offer_count for shop in shops)
        await _until_searchable(db)
        write_demo(asdict(demo))
        return demo
    finally:
        await db.dispose()


async def _enrol_operator(db: Database, keys: Keys) -> str:
    """Of a state folder from before admins needed a second factor."""
    try:
        async with db.write() as session:
            operator = await customers.find_operator(session, OPERATOR)
            return await customers.enrol_operator(session, keys, operator.id)
    except customers.FactorExists:
        return ""  # somebody tried it out, and has the app


def _known_demo() -> Demo | None:
    """Of an earlier start in this state folder."""
    stored = {key: value for key, value in read_demo().items() if key in Demo.__dataclass_fields__}
    return Demo(**stored) if stored.get("producer_key") else None


async def _people_and_merchants(db: Database, keys: Keys, shops: list[SampleShop], as_of: datetime) -> Demo:
    demo = _new_demo(shops, as_of)
    async with db.write() as session:
        for slug in sorted({shop.network for shop in shops}):
            demo.networks[slug] = await _network(session, keys, slug)
        ids = [await _merchant(session, shop) for shop in shops]
        operator = await customers.create_operator(session, OPERATOR, demo.operator_password, OperatorRole.ADMIN)
        demo.operator_totp_secret = await customers.enrol_operator(session, keys, operator.id)
        password_hash = await hash_password(demo.customer_password)
        await customers.create_customer(session, email=CUSTOMER, password_hash=password_hash, display_name="Ayesha")
        network = await merchants.get_network(session, demo.network)
        _ref, demo.producer_key = await customers.create_producer(session, "sample feeds", ids, network_id=network.id)
        demo.postback_secret = demo.networks[demo.network]
        # Inside the transaction: were it lost, the secrets in the database would be of no use to anyone.
        write_demo(asdict(demo))
    return demo


def _new_demo(shops: list[SampleShop], as_of: datetime) -> Demo:
    return Demo(
        as_of=as_of.isoformat(),
        http_url="",
        grpc_target="",
        operator_email=OPERATOR,
        operator_password=secrets.token_urlsafe(12),
        customer_email=CUSTOMER,
        customer_password=secrets.token_urlsafe(12),
        producer_key="",
        network=shops[0].network,
        postback_secret="",
        networks={},
    )


async def _network(session: WriteSession, keys: Keys, slug: str) -> str:
    name = slug.replace("-", " ").title()
    _ref, secret = await merchants.create_network(session, None, keys, slug=slug, name=name)
    return secret


async def _merchant(session: WriteSession, shop: SampleShop) -> Any:
    feed_settings: dict[str, Any] = {"column_mapping": dict(shop.column_mapping)} if shop.column_mapping else {}
    new = merchants.NewMerchant(
        slug=shop.slug,
        name=shop.name,
        currency=shop.currency,
        description=shop.description,
        network=shop.network,
        deep_link_template=shop.deep_link_template,
        allowed_landing_hosts=(shop.host,),
        click_window_days=shop.click_window_days,
        tracking_days=shop.tracking_days,
        validation_days=shop.validation_days,
        feed_settings=feed_settings,
    )
    merchant = await merchants.create_merchant(session, None, new)
    rates = tuple(
        merchants.Rate(
            rate_category=rate.rate_category,
            customer_type=merchants.CustomerType(rate.customer_type),
            kind=merchants.RateKind(rate.kind),
            percent_bps=rate.percent_bps,
            fixed_minor=rate.fixed_minor,
            currency=shop.currency,
            cap_minor=rate.cap_minor,
        )
        for rate in shop.rates
    )
    await merchants.publish_rates(
        session, None, shop.slug, merchants.NewSchedule(rates=rates, exclusions=shop.exclusions)
    )
    await merchants.move_merchant(session, None, shop.slug, merchants.MerchantStatus.ACTIVE)
    return merchant.id


async def _push_feeds(demo: Demo, shops: list[SampleShop], as_of: datetime) -> None:
    async with Producer(demo.grpc_target, demo.producer_key) as producer:
        with feed_progress() as progress:
            for shop in shops:
                task = progress.add_task(f"{shop.name}", total=shop.offer_count)
                await producer.push(
                    shop.slug,
                    lambda shop=shop: _items(shop, as_of),  # bound now, called in this iteration
                    request_id=f"sample-{shop.slug}-1",
                    source=shop.feed_path.name,
                    on_progress=_shown(progress, task, shop),
                )
                progress.update(task, completed=shop.offer_count)


def _items(shop: SampleShop, as_of: datetime) -> Iterator[bytes]:
    options = FeedOptions(column_mapping=shop.column_mapping or None, default_currency=shop.currency, source_time=as_of)
    return read_items(shop.feed_path, options)


def _shown(progress: Progress, task: TaskID, shop: SampleShop) -> Any:
    def show(report: ProgressReport) -> None:
        words = "pushing" if report.phase == "pushing" else STATES[report.sync.state]
        progress.update(task, description=f"{shop.name} · {words}", completed=report.done)

    return show


async def _until_searchable(db: Database) -> None:
    """Search follows a publication; "ready" means that it has."""
    deadline = asyncio.get_running_loop().time() + _SEARCH_TIMEOUT_S
    while asyncio.get_running_loop().time() < deadline:
        async with db.read() as session:
            if await offers.search_is_current(session):
                return
        await asyncio.sleep(0.1)
