"""Landing places: local folders, fsspec's memory, and a server that speaks S3."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fsspec  # type: ignore[import-untyped]  # it ships no types
import pytest

from tasks.errors import UsageError
from tasks.stores.landing.folder import Folder, Landing, open_landing, path_problem, printable
from tasks.stores.landing.remote import LandingError, change_token
from tasks.stores.settings import Settings
from tests.support.s3 import forget, s3


def names(landing: Landing) -> list[str]:
    return [one.path for one in landing.files(pytest.fail)]


def put(path: Path, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


# ------------------------------------------------------------------------------------------------ folders
def test_a_folder_lists_its_files_by_path(tmp_path: Path) -> None:
    place = tmp_path / "landing"
    for name in ("b.csv", "a/z.csv", "a.csv", "a/deep/f.csv", ".hidden", "two  blanks é.csv"):
        put(place / name)
    (place / "link_in.csv").symlink_to(place / "b.csv")
    (place / "folder_in").symlink_to(place / "a")
    found = [".hidden", "a/deep/f.csv", "a/z.csv", "a.csv", "b.csv", "link_in.csv", "two  blanks é.csv"]
    assert names(Folder(place)) == found, "what a link to a folder of this place leads to lies there anyway"
    assert all(Folder(place).holds(name) for name in found)
    assert not Folder(place).holds("folder_in")


def _refused(place: Path) -> dict[str, str]:
    """Puts what is refused into a folder; why, by how its name is shown."""
    outside = put(place.parent / "outside" / "secret.csv")
    (place / "out.csv").symlink_to(outside)
    (place / "up.csv").symlink_to("../outside/secret.csv")
    (place / "folder_out").symlink_to(outside.parent)
    (place / "nowhere.csv").symlink_to(place / "nothing")
    (place / "ring.csv").symlink_to(place / "gnir.csv")
    (place / "gnir.csv").symlink_to(place / "ring.csv")
    put(place / "new\nline.csv")
    put(place / "\x9b31mred.csv")
    put(place / "bad\tfolder" / "a.csv")
    put(place / "nul\u2028.csv")
    with open(os.fsencode(place) + b"/latin-\xe9.csv", "wb") as handle:  # noqa: PTH123  # a name that is no text
        handle.write(b"x")
    os.mkfifo(place / "pipe.csv")
    out, control = "a link that leads out of the landing folder", "a name with control characters"
    return {
        "out.csv": out,
        "up.csv": out,
        "folder_out": out,
        "nowhere.csv": "a link that leads nowhere",
        "ring.csv": "a link that leads in a circle",
        "gnir.csv": "a link that leads in a circle",
        "new\\nline.csv": control,
        "\\x9b31mred.csv": control,
        "bad\\tfolder": control,
        "nul\\u2028.csv": control,
        "latin-\\udce9.csv": "a name that is not UTF-8",
        "pipe.csv": "it is no regular file",
    }


def test_what_is_refused_is_told_and_does_not_stop_the_others(tmp_path: Path) -> None:
    place = tmp_path / "landing"
    put(place / "good.csv")
    refused = _refused(place)
    (place / ".hidden.csv").symlink_to(tmp_path / "outside" / "secret.csv")
    (place / "_left_alone").symlink_to(tmp_path)
    told: list[str] = []
    landing = Folder(place)
    assert [one.path for one in landing.files(told.append)] == ["good.csv"]
    plain = [f"{place}/{name} is refused: {why}." for name, why in refused.items()]
    assert sorted(one.replace("'", "") for one in told) == sorted(plain)
    assert all(one.isprintable() and one.encode() for one in told)
    assert [name for name in os.listdir(place) if landing.holds(name)] == ["good.csv"]  # noqa: PTH208  # names


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("a.csv", ""),
        ("day=1/Straße 7 (2).csv", ""),
        ("..csv", ""),
        ("a\x00.csv", "a name with control characters"),
        ("a/../b.csv", "a path with '.', '..' or '//' in it"),
        ("/etc/passwd", "a path with '.', '..' or '//' in it"),
        ("a/./b.csv", "a path with '.', '..' or '//' in it"),
        ("", "a path with '.', '..' or '//' in it"),
        ("\udcff.csv", "a name that is not UTF-8"),
    ],
)
def test_which_paths_are_refused(path: str, why: str) -> None:
    assert path_problem(path) == why
    assert printable(path).isprintable()


def test_a_folder_may_be_a_link_itself_and_may_be_missing(tmp_path: Path) -> None:
    put(tmp_path / "real" / "a.csv")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert names(Folder(tmp_path / "link")) == ["a.csv"]
    assert names(Folder(tmp_path / "none")) == []


def test_a_look_tells_size_and_time(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", "four")
    os.utime(path, ns=(5, 7))
    landing = Folder(tmp_path)
    assert list(landing.files(pytest.fail)) == [landing.stat("a.csv")] == [("a.csv", 4, 7)]
    with pytest.raises(FileNotFoundError):
        landing.stat("b.csv")


def test_a_file_that_someone_writes_to_is_busy(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv")
    landing = Folder(tmp_path)
    assert not landing.open_for_writing("a.csv")
    with path.open():
        assert not landing.open_for_writing("a.csv"), "a reader is no writer"
    with path.open("a"):
        assert landing.open_for_writing("a.csv")
    assert not landing.open_for_writing("a.csv")
    assert not landing.open_for_writing("none.csv")


def test_a_file_looks_complete_when_it_is_old_or_was_renamed(tmp_path: Path) -> None:
    landing = Folder(tmp_path)
    path = put(tmp_path / "a.csv")
    assert not landing.looks_complete("a.csv", 60.0)
    assert landing.looks_complete("a.csv", 0.0)
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns - 1_000_000_000))  # what a rename leaves: ctime is later
    assert landing.looks_complete("a.csv", 60.0)


def test_a_file_where_the_folder_should_be_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected a folder"):
        Folder(put(tmp_path / "landing")).prepare()


@pytest.mark.parametrize(
    ("told", "address"),
    [
        ("trips", "{home}/landing/trips"),
        ("/data/trips", "/data/trips"),
        ("file:///data/trips", "/data/trips"),
        ("s3://bucket/trips", "s3://bucket/trips"),
    ],
)
def test_an_address_is_a_path_or_the_url_as_told(told: str, address: str, tmp_path: Path) -> None:
    assert Settings(home=tmp_path).landing(told) == address.format(home=tmp_path)


# ------------------------------------------------------------------------------------------------ remote places
def test_a_remote_place_lists_looks_opens_and_fetches(tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe({"/store/in/b.csv": b"bb", "/store/in/a/c.csv": b"c", "/store/inner.csv": b"no"})
    landing = open_landing("memory://store/in/")
    found = list(landing.files(pytest.fail))
    assert [(one.path, one.size) for one in found] == [("a/c.csv", 1), ("b.csv", 2)]
    assert [landing.stat(one.path) for one in found] == found
    assert landing.uri("b.csv") == "memory://store/in/b.csv"
    with landing.open("b.csv") as handle:
        assert handle.read() == b"bb"
    draft = tmp_path / "draft.csv"
    with landing.local("b.csv", draft) as local:
        assert local.read_bytes() == b"bb"
    assert not draft.exists()
    memory.pipe_file("/store/in/b.csv", b"cc")
    assert landing.stat("b.csv") != found[1], "new content of the same size"
    for gone in (lambda: landing.stat("d.csv"), lambda: landing.local("d.csv", draft).__enter__()):
        with pytest.raises(FileNotFoundError):
            gone()


@pytest.mark.parametrize("name", ["../out.csv", "a//b.csv", "bad\nname.csv", "./a.csv"])
def test_a_remote_name_that_could_lead_astray_is_refused_and_told(name: str) -> None:
    memory = fsspec.filesystem("memory")
    place = f"refused{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    memory.pipe_file(f"/{place}/good.csv", b"x")
    memory.store[f"/{place}/{name}"] = memory.store[f"/{place}/good.csv"]
    told: list[str] = []
    assert [one.path for one in open_landing(f"memory://{place}").files(told.append)] == ["good.csv"]
    assert len(told) == 1
    assert "is refused" in told[0]


def test_a_library_that_is_missing_is_told() -> None:
    with pytest.raises(UsageError, match="gcsfs"):
        list(open_landing("gs://bucket/in").files(pytest.fail))


def test_a_token_comes_from_the_etag_else_from_the_time() -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    assert change_token({"ETag": '"a"', "LastModified": moment}) == change_token({"ETag": '"a"', "LastModified": 1})
    assert change_token({"ETag": '"a"'}) != change_token({"ETag": '"b"'})
    assert change_token({"created": moment}) == change_token({"mtime": moment.timestamp()}) == 1767225600 * 10**9
    assert change_token({"updated": "2026-01-01T00:00:00Z"}) != change_token({"updated": "2026-01-02T00:00:00Z"})
    assert change_token({"size": 3}) == 0
    assert 0 <= change_token({"ETag": '"b"'}) < 2**63


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The bucket `bucket` of an S3, as boto3 has it; the environment says where it is."""
    with s3(monkeypatch) as resource:
        yield resource.create_bucket(Bucket="bucket")


def test_a_bucket_is_a_landing_place(bucket: Any, tmp_path: Path) -> None:
    for number in range(5):
        bucket.put_object(Key=f"in/day/{number}.csv", Body=str(number).encode())
    bucket.put_object(Key="other/x.csv", Body=b"x")
    bucket.put_object(Key="in/", Body=b"")
    bucket.put_object(Key="in/day/", Body=b"")
    landing = open_landing("s3://bucket/in")
    assert landing.is_atomic
    found = list(landing.files(pytest.fail))
    assert [one.path for one in found] == [f"day/{number}.csv" for number in range(5)], "no folders' stand-ins"
    assert [landing.stat(one.path) for one in found] == found, "listing and looking tell the same"
    with landing.local("day/3.csv", tmp_path / "draft.csv") as local:
        assert local.read_bytes() == b"3"
    assert not (tmp_path / "draft.csv").exists()
    bucket.put_object(Key="in/day/3.csv", Body=b"4")
    assert landing.stat("day/3.csv") != found[3]
    bucket.Object("in/day/3.csv").delete()
    with pytest.raises(FileNotFoundError):
        landing.stat("day/3.csv")
    assert names(open_landing("s3://bucket/nothing")) == []
    with pytest.raises(LandingError, match="is not there"):
        names(open_landing("s3://nobucket/in"))


def test_names_in_a_bucket_are_refused_like_those_in_a_folder(bucket: Any) -> None:
    for key in ("in/a b.csv", "in/ä.csv", "in/bell\x07.csv", "in//double.csv"):
        bucket.put_object(Key=key, Body=b"x")
    told: list[str] = []
    assert [one.path for one in open_landing("s3://bucket/in").files(told.append)] == ["a b.csv", "ä.csv"]
    assert sorted(told) == [
        "s3://bucket/in: 'bell\\x07.csv' is refused: a name with control characters.",
        "s3://bucket/in: /double.csv is refused: a path with '.', '..' or '//' in it.",
    ]


def test_a_bucket_that_can_not_be_reached_is_told_without_its_secret(
    bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush-hush")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    forget()
    with pytest.raises(LandingError, match="can't be reached") as caught:
        names(open_landing("s3://bucket/in"))
    assert "hush" not in str(caught.value)
