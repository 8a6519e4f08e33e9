"""A home made ready as a command does it."""

from pathlib import Path

import pytest

from tasks.stores.settings import Settings, prepare


@pytest.fixture
def settings(home: Path) -> Settings:
    one = Settings(home=home)
    prepare(one)
    return one
