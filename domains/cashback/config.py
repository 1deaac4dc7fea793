"""Settings of the cashback domain, read from the environment (prefix `WAPSI_CASHBACK_`)."""

from functools import lru_cache

from pydantic import Field, NonNegativeInt, PositiveInt
from pydantic_settings import BaseSettings, SettingsConfigDict


class CashbackSettings(BaseSettings):
    """JSON objects by currency, in minor units. One without a minimum is not paid out; in one without an approval
    amount every payout, and all goodwill, waits for two operators."""

    model_config = SettingsConfigDict(env_prefix="WAPSI_CASHBACK_", extra="ignore")

    payout_minimum_minor: dict[str, int] = Field({"PKR": 10_000, "USD": 500, "EUR": 500, "AED": 1_000, "SAR": 1_000})
    payout_approval_minor: dict[str, NonNegativeInt] = Field(
        {"PKR": 5_000_000, "USD": 20_000, "EUR": 20_000, "AED": 75_000, "SAR": 75_000}
    )
    goodwill_approval_minor: dict[str, NonNegativeInt] = Field(
        {"PKR": 200_000, "USD": 1_000, "EUR": 1_000, "AED": 4_000, "SAR": 4_000}
    )
    claim_answer_days: PositiveInt = 14
    claim_merchant_days: PositiveInt = 60


@lru_cache
def get_cashback_settings() -> CashbackSettings:
    return CashbackSettings()
