"""A home with nothing in it but the state folder, for tests of single stores."""

from pathlib import Path

import pytest

from tasks.stores.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = Settings(home=tmp_path)
    made.state.mkdir()
    return made
