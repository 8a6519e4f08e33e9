"""Which versions the registry's aliases name, read without importing MLflow: from its tables, or over its REST API."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from tasks.stores.registry.artifacts import RegistryError
from tasks.stores.settings import Settings

if TYPE_CHECKING:
    import httpx
    import sqlalchemy as sa

CHAMPION, CHALLENGER = "champion", "challenger"
REF_TAG = "perennial.model"
EXPOSURE_TAG = "perennial.exposure"
_QUERY = """
    SELECT a.name, a.alias, a.version, v.storage_location, v.source, t.key, t.value
    FROM registered_model_aliases a
    JOIN model_versions v ON v.name = a.name AND v.version = a.version AND v.workspace = a.workspace
    JOIN model_version_tags t ON t.name = a.name AND t.version = a.version AND t.workspace = a.workspace
    WHERE a.workspace = 'default' AND a.alias IN ('champion', 'challenger')
    AND t.key IN ('perennial.model', 'perennial.exposure')
"""
_SECONDS = 2.0


class AliasedVersion(NamedTuple):
    """A version that an alias points to.

    Attributes:
        version: Its number.
        place: Where its files are.
        ref: Its ModelRef, as JSON.
        exposure: The Exposure that its tag holds, as JSON; empty where it has none.
    """

    version: int
    location: str
    ref: str
    exposure: str


class Aliases(NamedTuple):
    """What a registered model's aliases point to."""

    champion: AliasedVersion | None = None
    challenger: AliasedVersion | None = None


class Registry(Protocol):
    """Reads all aliases at once."""

    def read(self) -> dict[str, Aliases]:
        """The aliases of every registered model of Perennial's, by its name.

        Raises:
            RegistryError: it can't be asked.
        """


def connect(settings: Settings) -> Registry:
    """The registry that the settings name."""
    address = settings.tracking_uri
    if address.startswith(("http://", "https://")):
        return _Rest(address)
    path = address.removeprefix("sqlite:///")
    return _Tables(address) if path == address else _File(path)


class _File:
    """MLflow's tables in an SQLite file."""

    def __init__(self, path: str) -> None:
        self._path = path

    def read(self) -> dict[str, Aliases]:
        if not os.path.exists(self._path):  # noqa: PTH110  # several times a second
            return {}  # nothing was ever registered
        try:
            with closing(sqlite3.connect(f"file:{self._path}?mode=ro", uri=True, timeout=_SECONDS)) as opened:
                return _collect_aliases(opened.execute(_QUERY))
        except sqlite3.Error as error:
            if "no such table" in str(error):  # MLflow is only making it
                return {}
            raise RegistryError(f"{self._path} can't be read: {error}") from None


class _Tables:
    """MLflow's tables in another database."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._engine: sa.Engine | None = None

    def read(self) -> dict[str, Aliases]:
        import sqlalchemy as sa

        try:
            if self._engine is None:
                self._engine = sa.create_engine(self._address, pool_pre_ping=True)
            with self._engine.connect() as connection:
                return _collect_aliases(tuple(row) for row in connection.execute(sa.text(_QUERY)))
        except sa.exc.SQLAlchemyError as error:
            raise RegistryError(f"MLflow's database can't be read: {type(error).__name__}") from None


def _collect_aliases(rows: Iterable[tuple[Any, ...]]) -> dict[str, Aliases]:
    tags: dict[tuple[str, str], dict[str, str]] = {}
    found: dict[tuple[str, str], tuple[int, str]] = {}
    for name, alias, version, location, source, key, value in rows:
        found[name, alias] = (int(version), location or source)
        tags.setdefault((name, alias), {})[key] = value
    named: dict[str, dict[str, AliasedVersion]] = {}
    for (name, alias), (version, place) in found.items():
        own = tags[name, alias]
        if REF_TAG in own:
            named.setdefault(name, {})[alias] = AliasedVersion(version, place, own[REF_TAG], own.get(EXPOSURE_TAG, ""))
    return {name: Aliases(**aliases) for name, aliases in named.items()}


class _Rest:
    """An MLflow server. What can't change under a version is asked for once."""

    def __init__(self, address: str) -> None:
        self._address = address.rstrip("/")
        self._client = client(address.rstrip("/"))
        self._known: dict[tuple[str, int], AliasedVersion] = {}

    def read(self) -> dict[str, Aliases]:
        import httpx

        try:
            return {name: aliases for name, aliases in self._all() if aliases != Aliases()}
        except (httpx.HTTPError, ValueError) as error:
            raise RegistryError(f"{self._address} can't be asked: {type(error).__name__}: {error}") from None

    def _all(self) -> Iterable[tuple[str, Aliases]]:
        token = ""
        while True:
            page = self._get("registered-models/search", {"max_results": "200", "page_token": token})
            for model in page.get("registered_models", []):
                pointed = {one["alias"]: int(one["version"]) for one in model.get("aliases", [])}
                wanted = {alias: pointed[alias] for alias in (CHAMPION, CHALLENGER) if alias in pointed}
                yield (
                    model["name"],
                    Aliases(**{alias: self._version(model["name"], alias, one) for alias, one in wanted.items()}),
                )
            token = page.get("next_page_token", "")
            if not token:
                return

    def _version(self, name: str, alias: str, version: int) -> AliasedVersion | None:
        known = self._known.get((name, version))
        if known is not None and alias == CHAMPION:
            return known
        asked = {"name": name, "version": str(version)}
        found = self._get("model-versions/get", asked)["model_version"]
        tags = {tag["key"]: tag["value"] for tag in found.get("tags", [])}
        if REF_TAG not in tags:
            return None
        place = known.location if known else str(self._get("model-versions/get-download-uri", asked)["artifact_uri"])
        named = AliasedVersion(version, place, tags[REF_TAG], tags.get(EXPOSURE_TAG, ""))
        self._known[name, version] = named
        return named

    def _get(self, path: str, parameters: Mapping[str, str]) -> dict[str, Any]:
        given = {name: value for name, value in parameters.items() if value}
        answer = self._client.get(f"/api/2.0/mlflow/{path}", params=given)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found


def client(address: str) -> httpx.Client:
    """A client of an MLflow server, with the credentials that MLflow itself would take from the environment."""
    import httpx

    token, user = os.environ.get("MLFLOW_TRACKING_TOKEN"), os.environ.get("MLFLOW_TRACKING_USERNAME")
    headers = {"Authorization": f"Bearer {token}"} if token and not user else {}
    auth = (user, os.environ.get("MLFLOW_TRACKING_PASSWORD", "")) if user else None
    return httpx.Client(base_url=address, headers=headers, auth=auth, timeout=_SECONDS)
