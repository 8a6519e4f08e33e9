"""The pipeline that `benchmarks.crash` shakes, and the files that land for it: a file's number makes its content."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

NAME = "shaken"
COLUMNS = ("id", "place", "at", "x")
KEYS, ROWS = 400, 120
_PLACES = ("north", "south", "east")
_CONFIG = f"""\
name: {NAME}
description: Keyed rows that meet across files, for runs that are killed.
task: regression
source: {{landing: {NAME}}}
contract:
  key: [id, place]
  event_time: at
  target: x
  policies: {{duplicate_key: keep_last}}
  columns:
    id: {{type: integer}}
    place: {{type: string, allowed: [{", ".join(_PLACES)}]}}
    at: {{type: timestamp}}
    x: {{type: number, minimum: 0, maximum: 100}}
features: {{numeric: [id]}}
split: {{kind: random}}
training: {{estimator: sklearn.linear_model.LinearRegression}}
evaluation: {{primary: mae}}
"""


def write_config(folder: Path) -> Path:
    """Write the pipeline's YAML."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{NAME}.yaml"
    path.write_text(_CONFIG, encoding="utf-8")
    return path


def write_file(folder: Path, number: int, seed: int) -> Path:
    """Write the file of a number. Every 13th is an older one under another name; some can't be read."""
    if number % 13 == 12:
        older = next(folder.glob(f"{number - 5:05d}.*"))
        path = folder / older.name.replace(f"{number - 5:05d}", f"{number:05d}")
        path.write_bytes(older.read_bytes())
        return path
    rows = rows_of(number, seed)
    ending = ("csv", "jsonl", "parquet", "csv.gz")[number % 4]
    path = folder / f"{number:05d}.{ending}"
    data = _parquet(rows) if ending == "parquet" else _text(rows, ending)
    path.write_bytes(data[: len(data) // 2] if number % 17 == 16 and ending in ("parquet", "csv.gz") else data)
    return path


def rows_of(number: int, seed: int) -> list[dict[str, Any]]:
    """A file's rows. Keys come again in other files; some rows do not keep the contract; some stand twice."""
    rng = np.random.default_rng([seed, number])
    fresh = number // 6 % 2 == 1  # six files in a row whose keys nobody else has
    ids = (np.arange(ROWS) + number * 1000 + KEYS if fresh else rng.integers(0, KEYS, ROWS)).tolist()
    places = rng.choice(_PLACES, ROWS).tolist()
    days, hours = rng.integers(1, 28, ROWS).tolist(), rng.integers(0, 3, ROWS).tolist()
    values = np.round(rng.uniform(0, 100, ROWS), 3)
    values[rng.random(ROWS) < 0.03] += 500.0
    rows = [
        {"id": one, "place": place, "at": f"2026-01-{day:02d}T{hour:02d}:00:00Z", "x": value}
        for one, place, day, hour, value in zip(ids, places, days, hours, values.tolist(), strict=True)
    ]
    return [*rows, *rows[:3]]


def repaired(cells: dict[str, Any]) -> dict[str, Any]:
    """A refused row as a person would give it back."""
    return {**cells, "x": round(float(cells["x"]) % 100.0, 3)}


def _text(rows: list[dict[str, Any]], ending: str) -> bytes:
    if ending == "jsonl":
        return "".join(json.dumps(row) + "\n" for row in rows).encode()
    lines = [",".join(COLUMNS), *(",".join(str(row[name]) for name in COLUMNS) for row in rows)]
    data = "\n".join([*lines, ""]).encode()
    return gzip.compress(data, mtime=0) if ending.endswith(".gz") else data


def _parquet(rows: list[dict[str, Any]]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return sink.getvalue()
