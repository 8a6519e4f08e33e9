"""Landing places: local folders, fsspec's memory, and S3's own protocol spoken by a small server."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

import fsspec  # type: ignore[import-untyped]  # it ships no types
import pytest

from tasks.errors import UsageError
from tasks.stores.landing import Folder, Landing, open_landing
from tasks.stores.landing_remote import LandingError, change_token
from tasks.stores.settings import Settings


def names(landing: Landing) -> list[str]:
    return [one.path for one in landing.files(pytest.fail)]


def put(path: Path, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


# ------------------------------------------------------------------------------------------------ folders
def test_a_folder_lists_its_files_by_path_and_no_link_that_leads_out(tmp_path: Path) -> None:
    place = tmp_path / "landing"
    for name in ("b.csv", "a/z.csv", "a.csv", "a/deep/f.csv", ".hidden"):
        put(place / name)
    put(tmp_path / "outside" / "secret.csv")
    (place / "link_in.csv").symlink_to(place / "b.csv")
    (place / "link_out.csv").symlink_to(tmp_path / "outside" / "secret.csv")
    (place / "link_nowhere.csv").symlink_to(tmp_path / "nothing")
    (place / "folder_link").symlink_to(tmp_path / "outside")
    landing = Folder(place)
    assert names(landing) == [".hidden", "a/deep/f.csv", "a/z.csv", "a.csv", "b.csv", "link_in.csv"]
    held = [name for name in sorted(os.listdir(place)) if landing.holds(name)]  # noqa: PTH208  # names are wanted
    assert held == [".hidden", "a.csv", "b.csv", "link_in.csv"]


def test_a_folder_may_be_a_link_itself_and_may_be_missing(tmp_path: Path) -> None:
    put(tmp_path / "real" / "a.csv")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert names(Folder(tmp_path / "link")) == ["a.csv"]
    assert names(Folder(tmp_path / "none")) == []


def test_a_look_tells_size_and_time(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", "four")
    os.utime(path, ns=(5, 7))
    landing = Folder(tmp_path)
    assert list(landing.files(pytest.fail)) == [landing.look("a.csv")] == [("a.csv", 4, 7)]
    with pytest.raises(FileNotFoundError):
        landing.look("b.csv")


def test_a_file_that_someone_writes_to_is_busy(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv")
    landing = Folder(tmp_path)
    assert not landing.busy("a.csv")
    with path.open():
        assert not landing.busy("a.csv"), "a reader is no writer"
    with path.open("a"):
        assert landing.busy("a.csv")
    assert not landing.busy("a.csv")
    assert not landing.busy("none.csv")


def test_a_file_looks_complete_when_it_is_old_or_was_renamed(tmp_path: Path) -> None:
    landing = Folder(tmp_path)
    path = put(tmp_path / "a.csv")
    assert not landing.complete("a.csv", 60.0)
    assert landing.complete("a.csv", 0.0)
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns - 1_000_000_000))  # what a rename leaves: ctime is later
    assert landing.complete("a.csv", 60.0)


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
    assert [landing.look(one.path) for one in found] == found
    assert landing.uri("b.csv") == "memory://store/in/b.csv"
    with landing.open("b.csv") as handle:
        assert handle.read() == b"bb"
    draft = tmp_path / "draft.csv"
    with landing.local("b.csv", draft) as local:
        assert local.read_bytes() == b"bb"
    assert not draft.exists()
    memory.pipe_file("/store/in/b.csv", b"cc")
    assert landing.look("b.csv") != found[1], "new content of the same size"
    for gone in (lambda: landing.look("d.csv"), lambda: landing.local("d.csv", draft).__enter__()):
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


class _S3(BaseHTTPRequestHandler):
    """As much of S3 as listing (two names a page), looking and getting take."""

    protocol_version = "HTTP/1.1"
    objects: dict[str, bytes]

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        bucket, _, key = unquote(address.path).lstrip("/").partition("/")
        if bucket != "bucket" or (key and key not in self.objects):
            code = "NoSuchKey" if bucket == "bucket" else "NoSuchBucket"
            self._answer(404, f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode())
        elif key:
            etag = hashlib.md5(self.objects[key], usedforsecurity=False).hexdigest()
            self._answer(
                200, self.objects[key], {"ETag": f'"{etag}"', "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}
            )
        else:
            self._answer(200, self._page(dict(parse_qsl(address.query))).encode())

    def _page(self, query: dict[str, str]) -> str:
        after, prefix = query.get("continuation-token", ""), query.get("prefix", "")
        keys = sorted(key for key in self.objects if key.startswith(prefix) and key > after)
        more = f"<NextContinuationToken>{keys[1]}</NextContinuationToken>" if len(keys) > 2 else ""
        rows = [
            f"<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
            f"<ETag>&quot;{hashlib.md5(self.objects[key], usedforsecurity=False).hexdigest()}&quot;</ETag>"
            f"<Size>{len(self.objects[key])}</Size></Contents>"
            for key in keys[:2]
        ]
        cut = str(bool(more)).lower()
        return f"<ListBucketResult><IsTruncated>{cut}</IsTruncated>{more}{''.join(rows)}</ListBucketResult>"

    def _answer(self, code: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(code)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bytes]]:
    """Objects of the bucket `bucket`; the environment says where it is."""
    objects: dict[str, bytes] = {}
    with ThreadingHTTPServer(("127.0.0.1", 0), type("S3", (_S3,), {"objects": objects})) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "tests")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "tests")
        yield objects
        fsspec.get_filesystem_class("s3").clear_instance_cache()
        server.shutdown()


def test_a_bucket_is_a_landing_place(bucket: dict[str, bytes], tmp_path: Path) -> None:
    bucket.update({f"in/day/{number}.csv": str(number).encode() for number in range(5)} | {"other/x.csv": b"x"})
    landing = open_landing("s3://bucket/in")
    assert landing.whole
    found = list(landing.files(pytest.fail))
    assert [one.path for one in found] == [f"day/{number}.csv" for number in range(5)]
    assert [landing.look(one.path) for one in found] == found, "listing and looking tell the same"
    with landing.local("day/3.csv", tmp_path / "draft.csv") as local:
        assert local.read_bytes() == b"3"
    bucket["in/day/3.csv"] = b"4"
    assert landing.look("day/3.csv") != found[3]
    assert names(open_landing("s3://bucket/nothing")) == []
    with pytest.raises(LandingError, match="is not there"):
        names(open_landing("s3://nobucket/in"))
