"""The wake-up channel: Dramatiq over Redis or Valkey. What it loses, the relay sends again from Postgres."""

from typing import Any

import redis
import redis.asyncio
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import AsyncIO, Middleware, ShutdownNotifications, TimeLimit
from redis.maint_notifications import MaintNotificationsConfig

from wapsi.config import Settings
from wapsi.queue.registry import QUEUES, QueueTraits

# Nothing is waited for long: a queue that is down must not hold up what does not need it.
_CLIENT_OPTIONS: dict[str, Any] = {
    "socket_connect_timeout": 2,
    "socket_timeout": 5,
    "health_check_interval": 15,
}
_DEAD_WORKER_TIMEOUT_MS = 60_000
_DEAD_MESSAGE_TTL_MS = 60_000
_PROMPT_MS = 30
_DELAYED_MS = 5000


def make_broker(settings: Settings, middleware: list[Middleware] | None = None) -> "WakefulBroker":
    """No retries of Dramatiq's own, no results: attempts are counted in the jobs table."""
    client = redis.Redis.from_url(
        settings.queue_url,
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
        **_CLIENT_OPTIONS,
    )
    return WakefulBroker(  # type: ignore[no-untyped-call]
        client=client,
        middleware=[*(middleware or []), AsyncIO(), TimeLimit(), ShutdownNotifications(notify_shutdown=True)],
        heartbeat_timeout=_DEAD_WORKER_TIMEOUT_MS,
        dead_message_ttl=_DEAD_MESSAGE_TTL_MS,
    )


class WakefulBroker(RedisBroker):
    """Looks into each queue as often as the work in it is waited for, and takes no more than may run at once.

    An idle consumer sleeps between looks, up to `timeout`. Delay queues are never used: our jobs wait in Postgres.
    """

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 30_000) -> Any:
        traits = QUEUES.get(queue_name, QueueTraits())
        idle_ms = _DELAYED_MS if queue_name.endswith(".DQ") else _PROMPT_MS if traits.prompt else timeout
        # What a consumer has fetched and not acknowledged counts, so this bounds what runs.
        return super().consume(queue_name, traits.at_once or prefetch, idle_ms)


class QueueProbe:
    """Answers whether the queue server does; for readiness."""

    def __init__(self, settings: Settings) -> None:
        self._client = redis.asyncio.Redis.from_url(
            settings.queue_url,
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
            **_CLIENT_OPTIONS,
        )

    async def ping(self) -> None:
        """Raises when it does not answer."""
        await self._client.ping()

    async def aclose(self) -> None:
        await self._client.aclose()
