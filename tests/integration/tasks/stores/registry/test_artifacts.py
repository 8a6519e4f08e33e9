"""Recorded folders are found where they were, or where the home is now; else it is said where was looked."""

from pathlib import Path

import pytest

from tasks.stores.registry.artifacts import MissingFilesError, RegistryError, is_local, local_folder, require_registry
from tasks.stores.settings import Settings


def test_where_it_was_recorded_comes_first(tmp_path: Path) -> None:
    for home in ("old home", "new"):
        (tmp_path / home / "models" / "a" / "m-1").mkdir(parents=True)
    recorded = tmp_path / "old home" / "models" / "a"
    found = local_folder((recorded / "m-1").as_uri(), recorded.as_uri(), tmp_path / "new" / "models" / "a")
    assert found == recorded / "m-1"


def test_a_moved_home_has_it_below_its_experiment(tmp_path: Path) -> None:
    here = tmp_path / "new" / "models" / "a"
    (here / "models" / "m 1").mkdir(parents=True)
    recorded = tmp_path / "old home" / "models" / "a"
    assert local_folder((recorded / "models" / "m 1").as_uri(), recorded.as_uri(), here) == here / "models" / "m 1"
    assert local_folder(str(recorded / "models" / "m 1"), str(recorded), here) == here / "models" / "m 1"


def test_neither_place_is_told(tmp_path: Path) -> None:
    recorded, here = tmp_path / "old" / "models" / "a", tmp_path / "new" / "models" / "a"
    with pytest.raises(MissingFilesError) as caught:
        local_folder(str(recorded / "m-1"), str(recorded), here)
    assert f"{recorded / 'm-1'} nor {here / 'm-1'}" in str(caught.value)
    assert str(caught.value).endswith(f"Copy the folder models/a of the home that they were made in to {here}.")


def test_places_of_this_machine() -> None:
    assert is_local("/home/models")
    assert is_local("file:///home/models")
    assert not is_local("s3://bucket/models")
    assert not is_local("mlflow-artifacts:/1/models")


def test_a_registry_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    with pytest.raises(RegistryError, match=r"there is no registry: .*mlflow\.db is not there"):
        require_registry(settings)
    assert not (tmp_path / "state").exists()
    require_registry(Settings(home=tmp_path, mlflow_tracking_uri="http://127.0.0.1:1"))
