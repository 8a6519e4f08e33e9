"""How datasets are named in events: by OpenLineage's rules for files, tables and objects, never with credentials."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import urlsplit

from tasks.stores.settings import Settings

# Where what stands before the @ is a container, not a user.
_CONTAINERS = ("abfs", "abfss", "wasb", "wasbs")


class DatasetName(NamedTuple):
    """A dataset's identity in OpenLineage, and where it can be found."""

    namespace: str
    name: str
    uri: str


def without_credentials(url: str) -> str:
    """A URL without user, password and query."""
    scheme, _, rest = url.partition("://")
    rest = re.split(r"[?#]", rest)[0]
    host, slash, path = rest.partition("/")
    user, _, host_alone = host.rpartition("@")
    keep = scheme in _CONTAINERS and ":" not in user
    return f"{scheme}://{host if keep else host_alone}{slash}{path}"


def of_address(address: str) -> DatasetName:
    """A file or folder by its absolute path or URL."""
    if "://" not in address:
        return DatasetName("file", address, f"file://{address}")
    uri = without_credentials(address)
    parts = urlsplit(uri)
    if parts.scheme in ("file", "local"):
        return DatasetName("file", parts.path, f"file://{parts.path}")
    return DatasetName(f"{parts.scheme}://{parts.netloc}", parts.path.lstrip("/"), uri)


def table(settings: Settings, pipeline: str, name: str) -> DatasetName:
    """A table of the lake."""
    return of_address(f"{settings.lake.rstrip('/')}/{pipeline}/{name}")


def training_set(settings: Settings, pipeline: str, side: str, folder: str) -> DatasetName:
    """One side of the training set: the same name whatever folder holds it."""
    return DatasetName(settings.lineage_namespace, f"{pipeline}.{side}", f"file://{folder}/{side}.arrow")


def model(settings: Settings, pipeline: str, alias: str = "") -> DatasetName:
    """A registered model, or an alias of it, as MLflow writes its address."""
    name = f"models:/{pipeline}{'@' if alias else ''}{alias}"
    return DatasetName(without_credentials(settings.tracking_uri), name, name)
