"""How the service runs: settings from the environment, all PERENNIAL_SERVE_*."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from tasks.errors import UsageError

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class ServeSettings(BaseSettings):
    """One service's settings.

    Attributes:
        host, port: Where it listens; port 0 takes a free one.
        workers: Processes that answer, each with the models in its memory.
        token: What callers must send as `Authorization: Bearer ...`; without one, anybody who reaches it may ask.
        default: The pipeline that `/invocations` stands for; needed only where several are served.
        poll_seconds: Between two looks at the registry. With the time a model takes to load it makes up the grace.
        grace_seconds: Within which a promotion is in force; of one that took longer the log warns.
        body_mebibytes: Most that a request may hold.
        body_seconds: Most that a request's head, and its body, may take to come.
        most_requests: Requests in work at once in a process; more are answered 503.
        most_rows: Rows that wait for a model at once in a process; more are answered 429.
        batch_milliseconds: What single rows wait at most for others, under load, to be predicted together.
        batch_rows: Most single rows that are predicted together.
        canary_seconds: What a canary's answer may take; then the champion answers in its place.
        drain_seconds: What requests in work have to end in once the service is asked to stop.
        log_lose_rows: Most answers that a kill -9 of one process can lose from the prediction log.
        log_ship_seconds, log_hurry_seconds: Between two commits of the log to the lake; the latter during a rollout.
        log_spill_mebibytes: Most disk that the log may take while the lake is away; then answers are not logged.
        access_log: Which requests are reported in the log; never what they hold.
    """

    model_config = SettingsConfigDict(env_prefix="PERENNIAL_SERVE_", frozen=True, extra="ignore")

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    workers: int = Field(default=1, ge=1, le=256)
    token: SecretStr | None = None
    default: str | None = None
    poll_seconds: float = Field(default=0.25, gt=0, le=60)
    grace_seconds: float = Field(default=2.0, gt=0)
    body_mebibytes: float = Field(default=16.0, gt=0)
    body_seconds: float = Field(default=10.0, gt=0)
    most_requests: int = Field(default=512, ge=1)
    most_rows: int = Field(default=100_000, ge=1)
    batch_milliseconds: float = Field(default=1.0, ge=0, le=1000)
    batch_rows: int = Field(default=256, ge=1)
    canary_seconds: float = Field(default=1.0, gt=0)
    drain_seconds: float = Field(default=15.0, ge=0)
    log_lose_rows: int = Field(default=1000, ge=1)
    log_ship_seconds: float = Field(default=10.0, gt=0)
    log_hurry_seconds: float = Field(default=2.0, gt=0)
    log_spill_mebibytes: float = Field(default=2048.0, gt=0)
    access_log: Literal["all", "errors", "none"] = "errors"

    @property
    def open_to_others(self) -> bool:
        """Whether other machines reach it."""
        return self.host not in _LOOPBACK


def load_settings() -> ServeSettings:
    """The settings as the environment has them now.

    Raises:
        UsageError: one of them is not of its type or range.
    """
    try:
        found = ServeSettings()
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_input=False)[0]
        name = f"PERENNIAL_SERVE_{'_'.join(str(part) for part in wrong['loc']).upper()}"
        raise UsageError(f"{name}: {wrong['msg'].lower()}.") from None
    if found.token is not None and len(found.token.get_secret_value()) < 16:
        raise UsageError("PERENNIAL_SERVE_TOKEN: found fewer than 16 characters; make one by: openssl rand -hex 24")
    return found
