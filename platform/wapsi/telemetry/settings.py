"""What telemetry is told: read from the environment (prefix `WAPSI_`). Where it is sent, `OTEL_` variables say."""

from enum import StrEnum
from functools import lru_cache

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

# Where the processes of a `wapsi top` are: NAME=URL, separated by commas.
TARGETS_VARIABLE = "WAPSI_METRICS_TARGETS"


class AccessLogging(StrEnum):
    ALL = "all"
    SAMPLED = "sampled"


class TelemetrySettings(BaseSettings):
    """`trace_sample_ratio` is of traces that begin here: one that came with a caller's decision keeps to it."""

    model_config = SettingsConfigDict(env_prefix="WAPSI_", extra="ignore")

    telemetry_enabled: bool = Field(True, description="false: neither measured nor traced.")
    trace_sample_ratio: float = Field(0.05, ge=0, le=1)
    trace_slow_ms: float = Field(500, gt=0, description="A request that takes longer is traced whatever its sampling.")
    access_log: AccessLogging = Field(
        AccessLogging.SAMPLED, description="sampled: a successful GET has a line where its trace is sampled."
    )
    metrics_host: str = "127.0.0.1"
    metrics_port: int | None = Field(None, ge=0, le=65535, description="Where Prometheus may read; none: nowhere.")


@lru_cache
def get_telemetry_settings() -> TelemetrySettings:
    """Raises pydantic.ValidationError."""
    return TelemetrySettings()
