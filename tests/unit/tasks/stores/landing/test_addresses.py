"""Addresses of files: what they name, and what is refused because runs keep their parameters."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tasks.errors import UsageError
from tasks.stores.landing.addresses import PATTERN, parse


@pytest.mark.parametrize(
    ("text", "place", "name", "ending"),
    [
        ("/data/day.csv", "/data", "day.csv", ".csv"),
        ("/a:b/c?d@e.csv", "/a:b", "c?d@e.csv", ".csv"),
        ("file:///data/a%20b.parquet", "/data", "a b.parquet", ".parquet"),
        ("s3://bucket/day.csv.gz", "s3://bucket", "day.csv.gz", ".gz"),
        ("https://host:8443/a/b%20c.jsonl", "https://host:8443/a", "b%20c.jsonl", ".jsonl"),
    ],
)
def test_an_address_is_a_place_and_a_name(text: str, place: str, name: str, ending: str) -> None:
    found = parse(text, "input")
    assert (found.place, found.name, found.ending) == (place, name, ending)
    assert found.path == (None if "://" in place else Path(place, name))
    assert parse(str(found), "input") == found
    assert re.match(PATTERN, text)


def test_a_relative_path_is_below_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse("in/day.csv", "input").path == tmp_path / "in" / "day.csv"


@pytest.mark.parametrize(
    "text",
    [
        "https://anna:s3cret@host/day.csv",
        "https://host/day.csv?token=s3cret",
        "s3://s3cret@bucket/day.csv",
        "https://host/day.csv#s3cret",
        "zip://day.csv::https://anna:s3cret@host/a.zip",
    ],
)
def test_what_may_hold_a_secret_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(UsageError, match="input: found a URL of ") as refused:
        parse(text, "input")
    assert "s3cret" not in str(refused.value).replace("s3://s3cret", "")
    assert not re.match(PATTERN, text), "Prefect's server would keep it"


@pytest.mark.parametrize("text", ["", "/", "/data/", "s3://bucket", "s3://bucket/", "file:///", "https://host/a\n"])
def test_what_names_no_file_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="names no file"):
        parse(text, "output")


def test_a_file_of_another_machine_is_refused() -> None:
    with pytest.raises(UsageError, match="found the host 'far'"):
        parse("file://far/day.csv", "input")
