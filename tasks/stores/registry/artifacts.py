"""Where MLflow's files lie on local disk, also after the home was moved or copied; MLflow itself is not needed."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from tasks.errors import PerennialError
from tasks.stores.settings import Settings


class RegistryError(PerennialError):
    """MLflow can't be asked, or is not there."""


class MissingFilesError(PerennialError, FileNotFoundError):
    """Files that the registry tells of are not there."""


def require_registry(settings: Settings) -> None:
    """Look whether the registry's file is there: MLflow would make an empty one in its place.

    Raises:
        RegistryError: it is not there.
    """
    path = settings.tracking_uri.removeprefix("sqlite:///")
    if path != settings.tracking_uri and not Path(path).is_file():
        raise RegistryError(
            f"there is no registry: {path} is not there. Set PERENNIAL_HOME to the home that the model was trained in, "
            "or copy that file here."
        )


def is_local(location: str) -> bool:
    """Whether a recorded place is a folder on a disk of this machine."""
    return location.startswith(("/", "file:/"))


def local_folder(location: str, experiment: str, here: Path) -> Path:
    """A recorded folder, or the same one where the experiment's folder is now.

    Args:
        location: The folder, as recorded.
        experiment: The experiment's folder, as recorded.
        here: The experiment's folder below this home.

    Raises:
        MissingFilesError: it is in neither place.
    """
    recorded, base = _path(location), _path(experiment)
    places = [recorded, *([here / recorded.relative_to(base)] if recorded.is_relative_to(base) else [])]
    for place in places:
        if place.is_dir():
            return place
    looked = " nor ".join(str(place) for place in dict.fromkeys(places))
    raise MissingFilesError(
        f"files that the registry tells of are neither in {looked}. Copy the folder {base.parent.name}/{base.name} of "
        f"the home that they were made in to {here}."
    )


def _path(location: str) -> Path:
    return Path(unquote(urlsplit(location).path)) if location.startswith("file:") else Path(location)
