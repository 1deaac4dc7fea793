"""Settings of fetching feeds by URL, read from the environment (prefix `WAPSI_FEED_FETCH_`)."""

from functools import lru_cache

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class FeedFetchSettings(BaseSettings):
    """`concurrency` is over all workers: each fetch takes one of their threads for as long as the shop takes."""

    model_config = SettingsConfigDict(env_prefix="WAPSI_FEED_FETCH_", extra="ignore")

    allow_http: bool = False
    concurrency: int = Field(2, ge=1, le=100)


@lru_cache
def get_feed_fetch_settings() -> FeedFetchSettings:
    return FeedFetchSettings()
