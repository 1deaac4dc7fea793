"""Settings of every process, read from the environment (prefix `WAPSI_`) or from files in `WAPSI_SECRETS_DIR`."""

import base64
import binascii
import os
from email.utils import parseaddr
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

# Messages are printed instead of sent, and stay readable: for development.
CONSOLE = "console"


class Environment(StrEnum):
    DEVELOPMENT = "development"
    TEST = "test"
    PRODUCTION = "production"


class Settings(BaseSettings):
    """One field a setting; its environment name is the field's in upper case behind `WAPSI_`."""

    model_config = SettingsConfigDict(
        env_prefix="WAPSI_", secrets_dir=os.environ.get("WAPSI_SECRETS_DIR") or None, extra="ignore"
    )

    environment: Environment = Environment.DEVELOPMENT
    public_url: str = Field("http://127.0.0.1:8000", description="Where customers reach the API; in click links.")
    sign_up_url: str | None = Field(None, description="The page where friends sign up; default: public_url/sign-up.")

    database_url: str = Field(description="postgresql+asyncpg://… as the application's role.")
    database_read_url: str | None = Field(None, description="A replica for reads; default: database_url.")
    database_migration_url: str | None = Field(None, description="As the schema's owner; default: database_url.")
    database_pool_size: int = Field(10, ge=1, le=200, description="Connections one process holds, a pool.")
    database_reads_pool_size: int = Field(
        6, ge=1, le=200, description="Connections that a serving process holds beside them for the catalogue's reads."
    )
    database_read_lag_limit_s: float = Field(5.0, gt=0, le=300, description="A replica further behind is not read.")
    database_pool_timeout_s: int = Field(5, ge=1)
    database_processes: int = Field(
        6,
        ge=1,
        description="Processes of all roles that share the server; checked against its max_connections.",
    )
    database_through_pgbouncer: bool = Field(False, description="Transaction pooling: no statement caches.")

    queue_url: str = Field("redis://127.0.0.1:6379/0", description="Any Redis 7 or Valkey; redis:// or unix://.")

    http_host: str = "127.0.0.1"
    http_port: int = Field(8000, ge=0, le=65535)
    http_docs: bool | None = Field(None, description="Pages that show the API; default: on, but in production off.")
    http_body_limit_bytes: int = Field(1_048_576, ge=1024)
    feed_upload_limit_bytes: int = Field(1_073_741_824, ge=1024)
    http_concurrency_limit: int = Field(
        256, ge=1, description="Requests under way in a process; one more waits a moment, then gets a 503."
    )
    http_cache_limit_bytes: int = Field(
        134_217_728, ge=0, description="Memory for cached answers of the catalogue, a process; 0: none are kept."
    )
    cors_origins: Annotated[list[str], NoDecode] = Field([], description="Separated by commas, or * for all.")
    grpc_host: str = "127.0.0.1"
    grpc_port: int = Field(50051, ge=0, le=65535)
    grpc_reflection: bool | None = Field(None, description="Default: on, but in production off.")
    grpc_calls_at_once: int = Field(100, ge=1, description="Calls and streams of one producer key in a process.")
    grpc_tls_cert_file: Path | None = Field(None, description="PEM, the server's own certificate first.")
    grpc_tls_key_file: Path | None = Field(None, description="PEM, its key, not encrypted.")
    grpc_tls_client_ca_file: Path | None = Field(None, description="PEM: a client needs a certificate of one of these.")
    shutdown_grace_s: float = Field(4.0, gt=0)

    secret_key: SecretStr = Field(description="At least 32 characters: HMACs of tokens and fingerprints.")
    signing_key: SecretStr = Field(description="Ed25519 seed, 32 bytes in base64: signs tokens and receipts.")
    passkey_rp_id: str | None = Field(None, description="The domain of passkeys; default: the host of public_url.")
    passkey_origins: Annotated[list[str], NoDecode] = Field(
        [], description="Where passkeys are used, separated by commas; default: public_url."
    )
    secret_keys_previous: SecretStr = Field(
        SecretStr(""), description="Earlier values of secret_key, separated by commas: what they made is still known."
    )
    signing_keys_previous: SecretStr = Field(
        SecretStr(""),
        description="Earlier values of signing_key, or public: and the x of the key set, separated by commas.",
    )
    access_token_ttl_s: int = Field(900, ge=60)
    refresh_token_ttl_s: int = Field(30 * 86400, ge=3600, description="A customer's session may be left alone so long.")
    session_longest_s: int = Field(180 * 86400, ge=3600, description="Then a customer signs in again, used or not.")
    operator_refresh_token_ttl_s: int = Field(3600, ge=900, description="The same of operators.")
    operator_session_longest_s: int = Field(12 * 3600, ge=900, description="Then an operator signs in again.")

    mail_url: SecretStr | None = Field(
        None, description="smtp://user:password@host:587 (STARTTLS) or smtps://…; default: console, in production none."
    )
    mail_from: str | None = Field(None, description="Sender of e-mails; default: no-reply at public_url's host.")
    sms_url: SecretStr | None = Field(
        None, description="https://… that sends text messages; default: console, in production none."
    )
    sms_secret: SecretStr | None = Field(None, description="whsec_…: signs what is posted to sms_url.")

    worker_threads: int = Field(5, ge=1, le=64)
    worker_nice: int = Field(
        10, ge=0, le=19, description="How far what no person waits for gives way to the API on a shared machine."
    )
    sync_shrink_limit_percent: int = Field(
        30, ge=0, le=100, description="A FULL sync that would withdraw more than this share is quarantined."
    )

    heartbeat_file: Path | None = Field(None, description="Touched by the worker and the scheduler while they run.")

    log_level: str = "INFO"
    log_json: bool = True

    @field_validator("database_url", "database_read_url", "database_migration_url")
    @classmethod
    def _must_be_asyncpg(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith("postgresql+asyncpg://"):
            raise ValueError("must begin with postgresql+asyncpg://")
        try:
            port = make_url(value).port if value is not None else None
        except (ArgumentError, ValueError):
            raise ValueError("is not a URL that can be read") from None
        if port is not None and port > 65535:
            raise ValueError("has a port above 65535")
        return value

    @field_validator("queue_url")
    @classmethod
    def _must_be_redis(cls, value: str) -> str:
        if urlsplit(value).scheme not in ("redis", "rediss", "unix"):
            raise ValueError("must begin with redis://, rediss:// or unix://")
        try:
            _ = urlsplit(value).port
        except ValueError:
            raise ValueError("is not a URL that can be read") from None
        return value

    @field_validator("cors_origins", "passkey_origins", mode="before")
    @classmethod
    def _split_origins(cls, value: object) -> object:
        if isinstance(value, str):
            return [origin.strip() for origin in value.split(",") if origin.strip()]
        return value

    @field_validator("cors_origins")
    @classmethod
    def _must_be_origins(cls, value: list[str]) -> list[str]:
        if not all(origin == "*" or origin.startswith(("https://", "http://")) for origin in value):
            raise ValueError("must each begin with https:// or http://, or be *")
        return value

    @field_validator("secret_key")
    @classmethod
    def _must_be_long(cls, value: SecretStr) -> SecretStr:
        if len(value.get_secret_value()) < 32:
            raise ValueError("must have at least 32 characters")
        return value

    @field_validator("mail_url", "mail_from", "sms_url", "sms_secret", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return value or None

    @field_validator("mail_url")
    @classmethod
    def _must_be_smtp(cls, value: SecretStr | None) -> SecretStr | None:
        return _checked_target(value, ("smtp", "smtps"))

    @field_validator("sms_url")
    @classmethod
    def _must_be_http(cls, value: SecretStr | None) -> SecretStr | None:
        return _checked_target(value, ("https", "http"))

    @field_validator("mail_from")
    @classmethod
    def _must_be_an_address(cls, value: str | None) -> str | None:
        if value is not None and ("@" not in parseaddr(value)[1] or not value.isprintable()):
            raise ValueError("must be an address, such as Wapsi <no-reply@cashback.example>")
        return value

    @field_validator("sms_secret")
    @classmethod
    def _must_be_a_webhook_secret(cls, value: SecretStr | None) -> SecretStr | None:
        try:
            if value is not None:
                base64.b64decode(value.get_secret_value().removeprefix("whsec_"), validate=True)
        except binascii.Error:
            raise ValueError("must be whsec_ and base64") from None
        return value

    @model_validator(mode="after")
    def _production_is_strict(self) -> Self:
        if self.sms_target not in (None, CONSOLE) and self.sms_secret is None:
            raise ValueError("sms_secret must be set beside sms_url")
        if self.environment is not Environment.PRODUCTION:
            return self
        if self.public_url.startswith("http://"):
            raise ValueError("public_url must begin with https:// in production")
        if self.mail_target == CONSOLE:
            raise ValueError("mail_url must be smtp:// or smtps:// in production: nobody could sign up")
        if self.sms_target is not None and not self.sms_target.startswith("https://"):
            raise ValueError("sms_url must begin with https:// in production")
        return self

    @property
    def mail_target(self) -> str:
        return self.mail_url.get_secret_value() if self.mail_url is not None else CONSOLE

    @property
    def mail_sender(self) -> str:
        return self.mail_from or f"Wapsi <no-reply@{urlsplit(self.public_url).hostname or 'localhost'}>"

    @property
    def sms_target(self) -> str | None:
        """None: no text messages are sent, so nobody can sign up by phone."""
        if self.sms_url is not None:
            return self.sms_url.get_secret_value()
        return None if self.environment is Environment.PRODUCTION else CONSOLE

    @model_validator(mode="after")
    def _certificates_are_whole(self) -> Self:
        if (self.grpc_tls_cert_file is None) != (self.grpc_tls_key_file is None):
            raise ValueError("grpc_tls_cert_file and grpc_tls_key_file go together")
        if self.grpc_tls_client_ca_file is not None and self.grpc_tls_cert_file is None:
            raise ValueError("grpc_tls_client_ca_file needs grpc_tls_cert_file and grpc_tls_key_file")
        return self

    @property
    def reflection_enabled(self) -> bool:
        if self.grpc_reflection is not None:
            return self.grpc_reflection
        return self.environment is not Environment.PRODUCTION

    @property
    def docs_enabled(self) -> bool:
        if self.http_docs is not None:
            return self.http_docs
        return self.environment is not Environment.PRODUCTION

    @property
    def sign_up_page(self) -> str:
        return self.sign_up_url or f"{self.public_url.rstrip('/')}/sign-up"

    @property
    def migration_url(self) -> str:
        return self.database_migration_url or self.database_url


def _checked_target(value: SecretStr | None, schemes: tuple[str, ...]) -> SecretStr | None:
    """Raises ValueError, without repeating what may hold a password."""
    if value is None or value.get_secret_value() == CONSOLE:
        return value
    try:
        parts = urlsplit(value.get_secret_value())
        _ = parts.port
    except ValueError:
        raise ValueError("is not a URL that can be read") from None
    if parts.scheme not in schemes or not parts.hostname:
        raise ValueError(f"must be {CONSOLE} or begin with {' or '.join(f'{scheme}://' for scheme in schemes)}")
    return value


@lru_cache
def get_settings() -> Settings:
    """The process's settings. Raises pydantic.ValidationError; the CLI and `wapsi doctor` put it in words."""
    return Settings()
