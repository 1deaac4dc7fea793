"""Every test runs against a real PostgreSQL 18 and a real Valkey, out of wheels, started once a run.

Each test process has a database, emptied before each test, and tests connect as the application's role: what the role
may not do fails here as it does in production. Real commits, no savepoint tricks.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import httpx2
import hypothesis
import pytest
import redis.asyncio
from blockbuster import BlockBuster
from fastapi import FastAPI
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from domains.customers import service as customers
from domains.customers.service.subjects import get_account
from tests.databases import (
    SQL,
    admin_sql,
    as_new,
    database_name,
    own_database,
    shared_databases,
    superuser,
    worker_database,
    worker_number,
)
from tests.servers import Owner, Servers
from wapsi.config import Environment, Settings
from wapsi.db import Database
from wapsi.limits import LimitSettings, RateLimits
from wapsi.queue.broker import QueueProbe, make_broker
from wapsi.queue.jobs import run_job
from wapsi.roots import jobs
from wapsi.roots.container import make_runtime
from wapsi.roots.http_app import make_front, make_http_app, middleware_of
from wapsi.runtime import Runtime
from wapsi.security import passwords
from wapsi.security.passwords import hash_password
from wapsi.security.permissions import PASSWORD_AND_CODE, OperatorRole
from wapsi.security.signing import new_signing_key
from wapsi.telemetry.setup import Telemetry

__all__ = ["admin_sql", "database_name", "own_database", "shared_databases", "superuser", "worker_database"]

# No test is about time: an example may be the first one, or run beside other work.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

SIGNING_KEY = new_signing_key()
PASSWORD = "correct horse battery"


_owner_key = pytest.StashKey[Owner]()


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput") and not config.option.collectonly:
        config.stash[_owner_key] = Owner()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those that say they may take long come first: at the end, the other test processes would wait for them."""
    items.sort(key=lambda item: item.get_closest_marker("timeout") is None)


def pytest_configure_node(node: Any) -> None:
    servers = node.config.stash[_owner_key].servers
    node.workerinput["wapsi_servers"] = json.dumps([servers.postgres_url, servers.valkey_urls])


def pytest_unconfigure(config: pytest.Config) -> None:
    owner = config.stash.get(_owner_key, None)
    if owner is not None:
        owner.stop()


@pytest.fixture(scope="session")
def servers(pytestconfig: pytest.Config) -> Servers:
    workerinput = getattr(pytestconfig, "workerinput", None)
    if workerinput is None:
        return pytestconfig.stash[_owner_key].servers
    postgres_url, valkey_urls = json.loads(workerinput["wapsi_servers"])
    return Servers(postgres_url, tuple(valkey_urls))


# Where blocking is allowed: file, functions, why.
_MAY_BLOCK = (
    ("asyncpg/connect_utils.py", {"_parse_connect_dsn_and_args"}, "looks for ~/.pgpass, once a connection"),
    ("redis/utils.py", {"get_lib_version"}, "looks up its own version, once a connection"),
    ("fastapi/routing.py", {"_extract_endpoint_context"}, "finds a route's source, once a route"),
    ("rich/traceback.py", {"_render_stack"}, "draws sources into tracebacks; configure_logs() turns that off"),
    ("wapsi/rpc/tls.py", {"_stamped", "_read"}, "small files, before anybody is served; later only if one has changed"),
    (
        "tests/platform/rpc/test_tls.py",
        {"test_a_renewed_certificate_is_taken_without_a_restart_and_a_broken_one_is_not"},
        "a test's own files",
    ),
    ("wapsi/migrations/run.py", {"head_revision", "<lambda>"}, "reads the migrations; its loop serves nobody"),
    ("wapsi/cli/doctor.py", {"examine", "_schema"}, "its loop serves nobody"),
    ("tests/platform/queue/test_relay.py", {"messages"}, "a test's own look into the queue"),
)


@pytest.fixture(autouse=True)
def nothing_blocks_the_loop(request: pytest.FixtureRequest) -> Iterator[None]:
    """What blocks an event loop, in our code or in what that calls, fails the test that ran into it."""
    if "embedded" in request.node.path.parts:
        yield  # the supervisor of `wapsi up` reads and writes its state beside processes, and its loop serves nobody
        return
    watch = BlockBuster()
    for name in ("threading.Lock.acquire", "threading.Lock.acquire_lock"):
        # gRPC, logging and executors hold locks for microseconds, which cannot be told from long ones.
        del watch.functions[name]
    for function in watch.functions.values():
        for file, functions, _why in _MAY_BLOCK:
            function.can_block_in(file, functions)
    watch.activate()
    yield
    watch.deactivate()


_CHEAP = PasswordHash((Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1),))
_CHEAP_DECOY = _CHEAP.hash("a decoy; not a password")


@pytest.fixture(autouse=True)
def passwords_cost_little(request: pytest.FixtureRequest) -> Iterator[None]:
    """A hash as in production takes longer than most tests; those of the hashes are marked production_hashes."""
    if request.node.get_closest_marker("production_hashes"):
        yield
        return
    kept = passwords._HASHER, passwords._DECOY
    passwords._HASHER, passwords._DECOY = _CHEAP, _CHEAP_DECOY
    yield
    passwords._HASHER, passwords._DECOY = kept


@pytest.fixture(scope="session", autouse=True)
def every_job_registered() -> None:
    """As in the worker, whichever tests are chosen."""
    jobs.import_all()


@pytest.fixture(scope="session")
def queue_url(servers: Servers) -> str:
    return servers.valkey_urls[worker_number()]


@pytest.fixture
def settings(servers: Servers, worker_settings: Settings, database_name: str) -> Settings:
    """The same for all tests of a process, but those that have a database of their own."""
    urls = {
        "database_url": servers.database(database_name),
        "database_migration_url": servers.database(database_name, "postgres"),
    }
    return worker_settings.model_copy(update=urls)


@pytest.fixture(scope="session")
def worker_settings(servers: Servers, worker_database: str, queue_url: str) -> Settings:
    return Settings(
        environment=Environment.TEST,
        public_url="http://wapsi.test",
        database_url=servers.database(worker_database),
        database_migration_url=servers.database(worker_database, "postgres"),
        database_processes=2,
        queue_url=queue_url,
        http_port=0,
        grpc_port=0,
        secret_key="a secret for tests, of 32 characters or more",
        signing_key=SIGNING_KEY,
        log_json=True,
    )


@pytest.fixture(scope="session")
def spans() -> InMemorySpanExporter:
    """Every span that ended; clear it first."""
    return InMemorySpanExporter()


@pytest.fixture(scope="session")
def metric_reader() -> InMemoryMetricReader:
    """What this test process has measured since it began."""
    return InMemoryMetricReader()


@pytest.fixture(scope="session")
def telemetry(spans: InMemorySpanExporter, metric_reader: InMemoryMetricReader) -> Iterator[Telemetry]:
    telemetry = Telemetry("test", extra_processors=(SimpleSpanProcessor(spans),), extra_readers=(metric_reader,))
    telemetry.install()
    yield telemetry
    telemetry.shutdown()


@pytest.fixture
def limit_settings(request: pytest.FixtureRequest, no_limits: LimitSettings) -> LimitSettings:
    """Off, as tests ask for more than a person does; on, and counted from nothing, where a test is marked so:
    `@pytest.mark.rate_limits(sign_in="2/60")`, which changes a quota as well."""
    mark = request.node.get_closest_marker("rate_limits")
    if mark is None:
        return no_limits
    quotas = {f"rate_limit_{name}": rate for name, rate in mark.kwargs.items()}
    return LimitSettings(rate_limits=True, limits_prefix=uuid4().hex, **quotas)


@pytest.fixture(scope="session")
def no_limits() -> LimitSettings:
    return LimitSettings(rate_limits=False, limits_prefix=uuid4().hex)


@pytest.fixture
async def runtime(
    settings: Settings,
    worker_settings: Settings,
    shared_databases: list[Database],
    telemetry: Telemetry,
    limit_settings: LimitSettings,
) -> AsyncIterator[Runtime]:
    is_shared = settings == worker_settings
    db = as_new(shared_databases.pop()) if is_shared and shared_databases else None
    runtime = make_runtime(settings, telemetry, role="test", limit_settings=limit_settings, db=db)
    yield runtime
    await runtime.limits.aclose()
    db = runtime.db
    in_use = db.reads.pool_in_use + sum(engine.pool.checkedout() for engine in db.engines)
    if is_shared and not in_use:
        shared_databases.append(db)
    else:
        await db.dispose()  # what a test left running must not have the next one's connections


@pytest.fixture
def limits(runtime: Runtime) -> RateLimits:
    return runtime.limits


@pytest.fixture
def db(runtime: Runtime) -> Database:
    return runtime.db


@pytest.fixture
def drain(runtime: Runtime, admin_sql: SQL) -> Callable[[], Awaitable[int]]:
    """Runs all jobs that are due, and those that they enqueue, as the worker would; returns how many."""

    async def drain() -> int:
        done = 0
        due = "SELECT id FROM jobs WHERE state = 'ready' AND due_at <= now() ORDER BY created_at"
        while rows := await admin_sql(due):
            for row in rows:
                await run_job(runtime, row["id"])
                done += 1
        return done

    return drain


@pytest.fixture
async def clean_queue(queue_url: str) -> AsyncIterator[None]:
    client = redis.asyncio.Redis.from_url(queue_url)
    await client.flushdb()
    yield
    await client.aclose()


@pytest.fixture
def broker(settings: Settings, clean_queue: None) -> Iterator[Any]:
    broker = make_broker(settings)
    yield broker
    broker.close()


@pytest.fixture
def app(runtime: Runtime, telemetry: Telemetry, made_apps: list[FastAPI]) -> Iterator[FastAPI]:
    """Making one takes a fifth of a second, which is most of a test: it is made once, and each test's runtime put in.

    One to which a test has added routes is not used again.
    """
    app = next((made for made in made_apps if made.state.runtime.settings == runtime.settings), None)
    if app is None:
        app = make_http_app(runtime, telemetry)
        made_apps.append(app)
    app.state.runtime = runtime
    app.state.queue_probe = QueueProbe(runtime.settings)
    app.user_middleware = middleware_of(runtime, telemetry)
    app.middleware_stack = None
    routes = len(app.routes)
    yield app
    if len(app.routes) != routes:
        made_apps.remove(app)


@pytest.fixture(scope="session")
def made_apps() -> list[FastAPI]:
    return []


@pytest.fixture
async def api(app: FastAPI, runtime: Runtime) -> AsyncIterator[httpx2.AsyncClient]:
    """The whole REST application, without a network. Nothing polls for versions: each read asks for them."""
    transport = httpx2.ASGITransport(app=make_front(app, runtime), raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://wapsi.test") as client:
        yield client
    await app.state.queue_probe.aclose()


@pytest.fixture
def operator(runtime: Runtime) -> Callable[[OperatorRole], Awaitable[dict[str, str]]]:
    """Makes an operator, signed in with a second factor; the headers of a request, with an Idempotency-Key."""

    async def operator(role: OperatorRole) -> dict[str, str]:
        email = f"{uuid4().hex}@wapsi.example"
        async with runtime.db.write() as session:
            made = await customers.create_operator(session, email, PASSWORD, role)
            account = await get_account(session, customers.SubjectKind.OPERATOR, made.id)
            assert account is not None
            issuer = customers.SessionIssuer(runtime.keys, runtime.settings)
            tokens = await issuer.issue(session, account, PASSWORD_AND_CODE, "")
        return {"Authorization": f"Bearer {tokens.access_token}", "Idempotency-Key": uuid4().hex}

    return operator


@pytest.fixture(scope="session")
def password_hash() -> str:
    """Of PASSWORD, made once: it takes as long as many a test."""
    return asyncio.run(hash_password(PASSWORD))


@pytest.fixture
def make_customer(runtime: Runtime, password_hash: str) -> Callable[..., Awaitable[UUID]]:
    """Makes a customer with the password PASSWORD, whose contact is proven; returns the id. `fields` replace others."""

    async def make_customer(email: str | None = "asma@example.com", **fields: Any) -> UUID:
        person = {"email": email, "password_hash": password_hash, "display_name": "Asma"} | fields
        async with runtime.db.write() as session:
            customer_id = await customers.create_customer(session, **person)
        assert customer_id is not None, "there is one already"
        return customer_id

    return make_customer


@pytest.fixture
def customer_headers(
    api: httpx2.AsyncClient, make_customer: Callable[..., Awaitable[UUID]]
) -> Callable[[str], Awaitable[dict[str, str]]]:
    """Makes a customer with this e-mail and returns the headers of a signed-in request."""

    async def customer_headers(email: str) -> dict[str, str]:
        await make_customer(email)
        answer = await api.post("/v1/sessions", json={"email": email, "password": PASSWORD})
        assert answer.status_code == 201, answer.text
        return {"Authorization": f"Bearer {answer.json()['access_token']}"}

    return customer_headers


@pytest.fixture
def messages(runtime: Runtime) -> Callable[[str], Awaitable[list[customers.ShownMessage]]]:
    """What an e-mail address or a number was sent, the newest first, once the jobs have run: `drain` before."""

    async def messages(recipient: str) -> list[customers.ShownMessage]:
        email, phone = (recipient, None) if "@" in recipient else (None, recipient)
        contact = customers.Contact.of(email=email, phone=phone)
        async with runtime.db.read() as session:
            return await customers.list_messages(session, runtime.keys, limit=100, recipient=contact)

    return messages
