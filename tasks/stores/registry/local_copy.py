"""The service's own copy of what it serves: it serves on from it while the registry or its files are out of reach."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from tasks.errors import PerennialError
from tasks.stores.registry import artifacts
from tasks.stores.registry.aliases import AliasedVersion, Aliases, client
from tasks.stores.settings import Settings

if TYPE_CHECKING:
    import httpx

_KEPT = 4
_FETCH_SECONDS = 300.0
_LIVE = "live.json"


class FetchError(PerennialError):
    """A version's files can't be had."""


class LocalCopy:
    """Files of the versions that are served, and which those are, below a folder of this machine.

    Args:
        settings: Says where the registry and the home are.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._root = settings.state / "serving"

    def last_aliases(self, pipeline: str) -> Aliases:
        """What the aliases pointed to when they were last known; nothing before."""
        try:
            found = json.loads((self._root / pipeline / _LIVE).read_text(encoding="utf-8"))
            return Aliases(**{alias: AliasedVersion(*named) for alias, named in found.items()})
        except (FileNotFoundError, ValueError, TypeError):
            return Aliases()

    def save_aliases(self, pipeline: str, aliases: Aliases) -> None:
        """Keep what the aliases point to, in one piece, and drop files of versions long gone."""
        folder = self._root / pipeline
        folder.mkdir(parents=True, exist_ok=True)
        known = {alias: named for alias, named in aliases._asdict().items() if named is not None}
        temporary = folder / f".{_LIVE}.{_unique_suffix()}"
        temporary.write_text(json.dumps(known), encoding="utf-8")
        temporary.replace(folder / _LIVE)
        live = {_name(named) for named in known.values()}
        others = [one for one in folder.iterdir() if one.is_dir() and one.name[0] != "." and one.name not in live]
        for old in sorted(others, key=lambda one: one.stat().st_mtime)[: -_KEPT or None]:
            shutil.rmtree(old, ignore_errors=True)  # another worker may be at it

    def folder(self, pipeline: str, named: AliasedVersion) -> Path:
        """A version's files on this machine, fetched where they are not there yet.

        Raises:
            FetchError: they can't be had.
        """
        place = self._root / pipeline / _name(named)
        if place.is_dir():
            return place
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary = place.with_name(f".{place.name}.{_unique_suffix()}")
        shutil.rmtree(temporary, ignore_errors=True)
        try:
            self._fetch(pipeline, named, temporary)
            temporary.rename(place)
        except OSError as error:
            if not place.is_dir():  # else another worker was faster
                raise FetchError(f"the files of version {named.version} can't be had: {error}") from None
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return place

    def discard(self, pipeline: str, named: AliasedVersion) -> None:
        """Drop the copy of a version that turned out to be damaged."""
        shutil.rmtree(self._root / pipeline / _name(named), ignore_errors=True)  # another worker may be at it, too

    def _fetch(self, pipeline: str, named: AliasedVersion, to: Path) -> None:
        if artifacts.is_local(named.location):
            experiment = str(Path(named.location).parents[2]) if "/" in named.location.strip("/") else named.location
            here = self._settings.artifacts / pipeline
            shutil.copytree(artifacts.local_folder(named.location, experiment, here), to)
        elif named.location.startswith("mlflow-artifacts:"):
            self._download(named.location.removeprefix("mlflow-artifacts:").lstrip("/"), to)
        else:
            _by_mlflow(self._settings, named.location, to)

    def _download(self, path: str, to: Path) -> None:
        """Files that an MLflow server hands out itself."""
        import httpx

        try:
            with client(self._settings.tracking_uri) as server:
                waiting = [""]
                while waiting:
                    below = waiting.pop()
                    listed = server.get("/api/2.0/mlflow-artifacts/artifacts", params={"path": f"{path}{below}"})
                    listed.raise_for_status()
                    for one in listed.json().get("files", []):
                        name = f"{below}/{_plain(one['path'])}"
                        if one.get("is_dir"):
                            waiting.append(name)
                        else:
                            _save(server, f"{path}{name}", to / name.lstrip("/"))
        except (httpx.HTTPError, ValueError) as error:
            raise FetchError(f"files of {path} can't be had of the MLflow server: {error}") from None


def _unique_suffix() -> str:
    """An ending that no other process has: in containers their numbers are alike."""
    return secrets.token_hex(8)


def _plain(name: str) -> str:
    """The last part of a path that a server named: it may lead nowhere else."""
    last = name.rstrip("/").rpartition("/")[2]
    if last in ("", ".", ".."):
        raise ValueError(f"the server named a file {last!r}")
    return last


def _save(server: httpx.Client, path: str, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    with server.stream("GET", f"/api/2.0/mlflow-artifacts/artifacts/{quote(path)}") as answer, to.open("wb") as file:
        answer.raise_for_status()
        for piece in answer.iter_bytes():
            file.write(piece)


def _by_mlflow(settings: Settings, place: str, to: Path) -> None:
    """Files that only MLflow's own libraries reach, fetched by a process of its own: ours need not import it."""
    code = "import sys, mlflow; mlflow.artifacts.download_artifacts(sys.argv[1], dst_path=sys.argv[2])"
    staging = to.with_name(f"{to.name}.mlflow")
    staging.mkdir(parents=True, exist_ok=True)
    try:
        done = subprocess.run(
            [sys.executable, "-c", code, place, str(staging)],
            env={**os.environ, "MLFLOW_TRACKING_URI": settings.tracking_uri, "MLFLOW_DISABLE_TELEMETRY": "true"},
            capture_output=True,
            text=True,
            timeout=_FETCH_SECONDS,
            check=False,
        )
        if done.returncode:
            raise FetchError(f"MLflow could not fetch {place}: {(done.stderr.strip().splitlines() or ['?'])[-1][:300]}")
        inner = [one for one in staging.iterdir() if one.is_dir()]
        model = staging if (staging / "model.skops").is_file() or not inner else inner[0]
        shutil.move(model, to)
    except subprocess.TimeoutExpired:
        raise FetchError(f"MLflow did not fetch {place} within {_FETCH_SECONDS:g} s") from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _name(named: AliasedVersion) -> str:
    """Name of a version's folder: its number, and the model's own id, as numbers can come again in a new registry."""
    parts = [part for part in named.location.rstrip("/").split("/") if part.startswith("m-")]
    return f"{named.version}-{parts[-1]}" if parts else str(named.version)
