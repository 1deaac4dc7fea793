"""What limits are told: read from the environment (prefix `WAPSI_`)."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, IPvAnyNetwork, create_model, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from wapsi.limits.policies import POLICIES, Policy

_RATE = re.compile(r"([1-9][0-9]{0,8})/([1-9][0-9]{0,6})")


def _checked(rate: str) -> str:
    if _RATE.fullmatch(rate) is None:
        raise ValueError("must be a quota and a number of seconds, such as 600/60")
    return rate


Rate = Annotated[str, AfterValidator(_checked)]


class _Base(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="WAPSI_", extra="ignore")

    rate_limits: bool = Field(True, description="off: nothing is counted.")
    limits_url: str | None = Field(None, description="Any Redis 7 or Valkey; default: queue_url.")
    trusted_proxies: Annotated[list[IPvAnyNetwork], NoDecode] = Field(
        [], description="Networks whose X-Forwarded-For is believed, separated by commas."
    )
    limits_prefix: str = Field("wapsi", min_length=1, description="Of the keys on that server.")

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _split_networks(cls, value: object) -> object:
        if isinstance(value, str):
            return [network.strip() for network in value.split(",") if network.strip()]
        return value

    @field_validator("limits_url")
    @classmethod
    def _must_be_redis(cls, value: str | None) -> str | None:
        if value is not None and urlsplit(value).scheme not in ("redis", "rediss", "unix"):
            raise ValueError("must begin with redis://, rediss:// or unix://")
        return value

    def policies(self) -> Mapping[str, Policy]:
        """The table, with what the settings change of it."""
        return {name: self._policy(policy) for name, policy in POLICIES.items()}

    def _policy(self, policy: Policy) -> Policy:
        quota, window_s = getattr(self, f"rate_limit_{policy.name}").split("/")
        return Policy(policy.name, int(quota), int(window_s), policy.per)


def _fields() -> dict[str, Any]:
    return {
        f"rate_limit_{policy.name}": (Rate, Field(f"{policy.quota}/{policy.window_s}", description=policy.per))
        for policy in POLICIES.values()
    }


if TYPE_CHECKING:
    _Rates = _Base
else:
    _Rates = create_model("_Rates", __base__=_Base, **_fields())


class LimitSettings(_Rates):
    """One field a policy beside the switches: `rate_limit_sign_in` is the policy `sign_in`."""


@lru_cache
def get_limit_settings() -> LimitSettings:
    """Raises pydantic.ValidationError."""
    return LimitSettings()
