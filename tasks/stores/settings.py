"""Where everything lies and how vendors are configured: settings from the environment, all PERENNIAL_*."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from tasks.errors import UsageError
from tasks.origins import normal

QUIET = {
    "DO_NOT_TRACK": "true",
    "GX_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # Threads that wait for each other sleep. Spinning, a fit takes six times as long where another process is at work.
    "OMP_WAIT_POLICY": "passive",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",  # tasks are tried again as a whole; seven take MLflow four minutes
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
}


class Settings(BaseSettings):
    """Places and addresses.

    Attributes:
        home: Folder of everything below, unless configured otherwise.
        state_dir: What needs transactions: audit, locks, MLflow's and Prefect's databases. A local disk.
        lake_url: The Delta tables: a folder, or any object store that deltalake reaches.
        state_url: SQLAlchemy address of the audit; SQLite in state_dir by default.
        mlflow_tracking_uri: MLflow's address; SQLite in state_dir by default.
        mlflow_url: Where people open MLflow, for links; mlflow_tracking_uri where that is a server.
        lock_timeout: Seconds to wait for another writer of the same pipeline.
        watch_seconds: Seconds between two listings of a landing place by the sensor.
        worker_runs: Flow runs that one worker runs at once.
        prefect_port, mlflow_port, serve_port: Loopback ports that `perennial up` serves on.
        allowed_origins: Further addresses that people open these servers at, through a proxy or a forwarded port, as
            browsers show them: `https://prefect.example.org,http://localhost:14200`. Without a path, and no patterns.
        deployments: The deployment file, where it is not the checkout's prefect.yaml.
        lineage_namespace: Namespace of jobs and of what has no address of its own in OpenLineage events.
        lineage_wait: Seconds that a run waits, at its end, for an OpenLineage endpoint to take what was not sent yet.
        notify_url: Where failures are reported: a webhook that takes `{"text": ...}`, as Slack's does. A secret.
    """

    model_config = SettingsConfigDict(env_prefix="PERENNIAL_", frozen=True, extra="ignore")

    home: Path = Path(".perennial")
    state_dir: Path | None = None
    lake_url: str | None = None
    state_url: str | None = None
    mlflow_tracking_uri: str | None = None
    mlflow_url: str | None = None
    lock_timeout: float = 3600.0
    watch_seconds: float = Field(default=10.0, gt=0)
    worker_runs: int = 6
    prefect_port: int = Field(default=4200, ge=1, le=65535)
    mlflow_port: int = Field(default=5000, ge=1, le=65535)
    serve_port: int = Field(default=8000, ge=0, le=65535)
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = ()
    deployments: Path | None = None
    lineage_namespace: str = Field(default="perennial", min_length=1)
    lineage_wait: float = Field(default=3.0, ge=0)
    notify_url: SecretStr | None = None

    @field_validator("allowed_origins", mode="before")
    @classmethod
    def _origins(cls, value: str | Sequence[str]) -> tuple[str, ...]:
        words = value.split(",") if isinstance(value, str) else value
        return tuple(normal(word) for word in words if word.strip())

    @property
    def root(self) -> Path:
        """Home, absolute."""
        return self.home.expanduser().resolve()

    @property
    def state(self) -> Path:
        """The state folder, absolute."""
        return (self.state_dir or self.root / "state").expanduser().resolve()

    @property
    def lake(self) -> str:
        """The lake's address."""
        return self.lake_url or str(self.root / "lake")

    @property
    def audit_url(self) -> str:
        """The audit's SQLAlchemy address."""
        return self.state_url or f"sqlite:///{self.state / 'audit.db'}"

    @property
    def tracking_uri(self) -> str:
        """MLflow's address."""
        return self.mlflow_tracking_uri or f"sqlite:///{self.state / 'mlflow.db'}"

    @property
    def mlflow_page(self) -> str | None:
        """Address of MLflow's pages, without a slash at its end; None where no server is known."""
        address = self.mlflow_url or self.tracking_uri
        return address.rstrip("/") if address.startswith(("http://", "https://")) else None

    @property
    def artifacts(self) -> Path:
        """Folder of MLflow's files, where MLflow is embedded."""
        return self.root / "models"

    @property
    def lineage(self) -> Path:
        """Folder of what is reported about lineage: the OpenLineage events."""
        return self.root / "lineage"

    @property
    def prefect_home(self) -> Path:
        """Prefect's own folder: database, profiles, stored results."""
        return self.root / "prefect"

    def landing(self, place: str) -> str:
        """Address of a landing place: a URL as given, a folder as an absolute path, below home/landing if relative."""
        protocol, is_url, rest = place.partition("://")
        if is_url and protocol not in ("file", "local"):
            return place
        return str(self.root / "landing" / Path(rest if is_url else place).expanduser())


def load_settings() -> Settings:
    """The settings as the environment has them now.

    Raises:
        UsageError: one of them is not of its type.
    """
    try:
        return Settings()
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]
        name = f"PERENNIAL_{'_'.join(str(part) for part in wrong['loc']).upper()}"
        raise UsageError(f"{name}: found {wrong['input']!r}; {wrong['msg'].lower()}.") from None


def prepare(settings: Settings) -> None:
    """Make the folders and keep vendors from phoning home.

    Raises:
        UsageError: a folder can't be made or written.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    folders = [settings.root, settings.state, settings.state / "locks", settings.state / "staging"]
    if "://" not in settings.lake:
        folders.append(Path(settings.lake))
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            probe = folder / f".probe-{os.getpid()}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise UsageError(
                f"{folder} can't be written ({error.strerror or error}). "
                "Set PERENNIAL_HOME to a folder that this user may write."
            ) from None
