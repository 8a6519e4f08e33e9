"""Files from anywhere and to anywhere; what is refused, and that a refusal leaves nothing."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from threading import Thread

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from tests.support.asked import asked
from tests.support.command import Cli
from tests.support.s3 import s3
from tests.support.world import World, trips, write

NAME = "anywhere"
ROWS = trips(9000, 40, seed=2).drop(columns="y")


def as_feather(path: Path) -> None:
    feather.write_feather(pa.Table.from_pandas(ROWS), path)


def as_excel(path: Path) -> None:
    ROWS.assign(at=ROWS["at"].dt.tz_localize(None)).to_excel(path, index=False)


def as_gzip(path: Path) -> None:
    path.write_bytes(gzip.compress(ROWS.to_csv(index=False).encode()))


WRITERS: dict[str, Callable[[Path], object]] = {
    "day.tsv": partial(ROWS.to_csv, sep="\t", index=False),
    "day.parquet": partial(write, content=ROWS),
    "day.feather": as_feather,
    "day.xlsx": as_excel,
    "day.csv.gz": as_gzip,
}


@pytest.fixture(scope="module")
def placed(module_world: World) -> World:
    module_world.pipeline(NAME)
    module_world.land(NAME, "first.csv", trips(0, 200, seed=1))
    assert module_world.run(NAME).champion == 1
    return module_world


@pytest.fixture(scope="module")
def answers(placed: World, tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    """What the champion predicts for ROWS."""
    _, predicted, _ = asked(placed, NAME, write(tmp_path_factory.mktemp("asked") / "asked.parquet", ROWS))
    return list(predicted.tolist())


def same(result: Path | BytesIO, answers: list[float]) -> bool:
    table = pq.read_table(result)
    assert table.column("id").to_pylist() == ROWS["id"].tolist()
    return bool(np.allclose(table.column("prediction"), answers, rtol=1e-12))


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_model_s_answers(
    placed: World, cli: Cli, tmp_path: Path, answers: list[float], name: str
) -> None:
    WRITERS[name](tmp_path / name)
    output = tmp_path / "new" / "out.parquet"
    said = cli("score", NAME, "--input", (tmp_path / name).as_uri(), "--output", output.as_uri(), "--json")
    assert (said.code, said.json()["rows"], said.json()["output"]) == (0, 40, str(output)), said
    assert same(output, answers)
    assert list((placed.settings.state / "scoring").iterdir()) == []


def test_from_and_to_a_bucket(placed: World, cli: Cli, monkeypatch: pytest.MonkeyPatch, answers: list[float]) -> None:
    with s3(monkeypatch) as resource:
        bucket = resource.create_bucket(Bucket="bucket")
        bucket.put_object(Key="in/day.csv.gz", Body=gzip.compress(ROWS.to_csv(index=False).encode()))
        words = ("score", NAME, "--input", "s3://bucket/in/day.csv.gz", "--json")
        for ending in ("parquet", "csv"):
            to = ("--output", f"s3://bucket/out/day.{ending}")
            told = [cli(*words, *to).json()["known"] for _ in range(2)]
            assert told == [False, True]
        stored = {one.key: one.get()["Body"].read() for one in bucket.objects.filter(Prefix="out/")}
        assert set(stored) == {"out/day.parquet", "out/day.csv"}
        assert same(BytesIO(stored["out/day.parquet"]), answers)
        assert len(stored["out/day.csv"].splitlines()) == 41
        missing = cli("score", NAME, "--input", "s3://bucket/in/none.csv")
        assert (missing.code, "s3://bucket/in/none.csv is not there" in missing.err) == (2, True), missing
        nowhere = cli(*words, "--output", "s3://nobucket/day.csv")
        assert (nowhere.code, "Traceback" in nowhere.err) == (2, False), nowhere
    assert list((placed.settings.state / "scoring").iterdir()) == []


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """A web server's address; it serves tmp_path/web."""
    (tmp_path / "web").mkdir()
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "web"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_from_the_web(cli: Cli, tmp_path: Path, web: str, placed: World, answers: list[float]) -> None:
    write(tmp_path / "web" / "a day.parquet", ROWS)
    output = tmp_path / "out.parquet"
    said = cli("score", NAME, "--input", f"{web}/a%20day.parquet", "--output", str(output), "--json")
    assert said.code == 0, said
    assert same(output, answers)
    missing = cli("score", NAME, "--input", f"{web}/none.csv")
    assert (missing.code, f"{web}/none.csv is not there" in missing.err) == (2, True), missing
    write(tmp_path / "web" / "broken.parquet", b"no parquet at all")
    refused = cli("score", NAME, "--input", f"{web}/broken.parquet")
    assert (refused.code, f"{web}/broken.parquet" in refused.err) == (3, True), refused
    assert list((placed.settings.state / "scoring").iterdir()) == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--input", "https://anna:s3cret@host/day.csv"), "environment"),
        (("--input", "https://host/day.csv?token=s3cret"), "environment"),
        (("--input", "day.csv", "--output", "s3://s3cret@bucket/out.csv"), "environment"),
        (("--input", "day.csv", "--output", "http://host/out.csv"), "read only"),
        (("--input", "day.csv", "--output", "./day.csv"), "is the input"),
        (("--input", "day.csv", "--version", "7"), "has no version 7; versions in the registry: 1"),
        (
            (
                "--input",
                "gs://bucket/day.csv",
            ),
            "needs a library that is not installed",
        ),
    ],
    ids=["password", "query", "user", "http", "itself", "version", "library"],
)
def test_wrong_use_is_told_without_secrets(
    placed: World,
    cli: Cli,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    before = write(tmp_path / "day.csv", ROWS).read_bytes()
    said = cli("score", NAME, *words)
    assert (said.code, told in said.err) == (2, True), said
    assert "Traceback" not in said.err
    assert "anna" not in said.err
    assert ":s3cret" not in said.err
    assert "token=" not in said.err
    assert [one.name for one in tmp_path.iterdir() if one.name != "home"] == ["day.csv"]
    assert (tmp_path / "day.csv").read_bytes() == before


def test_prefect_keeps_no_secret() -> None:
    """A run is asked for with a password in its address: the deployment's schema refuses it."""
    from jsonschema import Draft202012Validator

    from flows.score import score

    schema = Draft202012Validator(score.parameters.model_dump())
    assert schema.is_valid({"pipeline": NAME, "source": "s3://bucket/day.csv", "output": "/data/out.csv"})
    for secret in ("https://anna:s3cret@host/day.csv", "https://host/day.csv?token=s3cret"):
        assert not schema.is_valid({"pipeline": NAME, "source": secret})
        assert not schema.is_valid({"pipeline": NAME, "output": secret})
