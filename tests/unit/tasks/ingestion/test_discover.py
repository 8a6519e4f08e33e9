"""Which files a source takes."""

from __future__ import annotations

import pytest

from configs.source import Source
from tasks.ingestion.discover import accepts

PLAIN = Source(landing="x")
MARKED = Source(landing="x", ready="marker")


@pytest.mark.parametrize(
    ("name", "taken"),
    [("a.csv", True), (".a.csv", False), ("_a.csv", False), ("a.csv.ready", True), ("a.txt", True)],
)
def test_which_names_are_taken(name: str, taken: bool) -> None:
    assert accepts(PLAIN, name) is taken
    assert accepts(MARKED, name) is (taken and not name.endswith(".ready"))
    assert accepts(PLAIN.model_copy(update={"pattern": "*.csv"}), name) is (taken and name.endswith(".csv"))
