"""Settings of the cashback domain, read from the environment (prefix `WAPSI_CASHBACK_`)."""

from functools import lru_cache

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class CashbackSettings(BaseSettings):
    """`payout_minimum_minor` is a JSON object; a currency that it does not name is not paid out."""

    model_config = SettingsConfigDict(env_prefix="WAPSI_CASHBACK_", extra="ignore")

    payout_minimum_minor: dict[str, int] = Field({"PKR": 10_000, "USD": 500, "EUR": 500, "AED": 1_000, "SAR": 1_000})


@lru_cache
def get_cashback_settings() -> CashbackSettings:
    return CashbackSettings()
