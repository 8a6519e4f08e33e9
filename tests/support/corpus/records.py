"""Damage of jsonl files: lines that are no objects, objects that are no rows, depth."""

from __future__ import annotations

import json
from collections.abc import Iterator

from tests.support.corpus.base import ROWS, Fate, Sample, jsonl_of, rows, texts


def samples() -> Iterator[Sample]:
    yield from _lines()
    yield from _wholes()
    yield from _depths()


def _lines() -> Iterator[Sample]:
    """A line among sound ones."""
    sound = json.dumps(texts({**rows("x")[3], "place": "PLACE"}))
    cases: tuple[tuple[str, str, Fate, tuple[str, ...]], ...] = (
        ("a-list", "[1, 2, 3]", "partly", ("not a JSON object", "[1, 2, 3]")),
        ("a-number", "5", "partly", ("not a JSON object",)),
        ("a-text", '"id"', "partly", ("not a JSON object",)),
        ("null", "null", "partly", ()),
        ("true", "true", "partly", ("not a JSON object",)),
        ("an-empty-object", "{}", "partly", ("id",)),
        ("a-brace", "{", "partly", ("not a JSON object",)),
        ("plain-words", "connection reset by peer", "partly", ("connection reset",)),
        ("single-quotes", sound.replace('"', "'"), "partly", ("not a JSON object",)),
        ("a-trailing-comma", sound.replace("}", ",}"), "partly", ("not a JSON object",)),
        ("a-comma-behind", sound + ",", "partly", ("not a JSON object",)),
        ("two-objects", sound + sound, "partly", ("not a JSON object",)),
        ("a-comment", "// " + sound, "partly", ("not a JSON object",)),
        ("a-comment-behind", sound + " # x", "partly", ("not a JSON object",)),
        ("a-raw-tab-in-a-text", sound.replace("stop", "st\top"), "either", ()),
        ("a-bad-escape", sound.replace("stop", r"st\xop"), "partly", ("not a JSON object",)),
        ("a-bad-escape-of-unicode", sound.replace("stop", r"\u12"), "partly", ("not a JSON object",)),
        ("a-name-without-quotes", sound.replace('"id"', "id"), "partly", ("not a JSON object",)),
        ("nan-as-a-word", sound.replace("21.75", "NaN"), "whole", ()),
        ("infinity-as-a-word", sound.replace("21.75", "-Infinity"), "partly", ("x",)),
        ("a-number-beyond-all", sound.replace("21.75", "1e999"), "partly", ("x",)),
        ("a-leading-zero", sound.replace("21.75", "021"), "partly", ("not a JSON object",)),
        ("a-plus", sound.replace("21.75", "+21"), "partly", ("not a JSON object",)),
        ("a-name-missing", sound.replace('"y": 1040.5, ', ""), "partly", ("y",)),
        ("a-name-in-capitals", sound.replace('"y"', '"Y"'), "partly", ("y",)),
        ("a-name-twice", sound.replace('"y"', '"y": 7, "y"'), "either", ()),
        ("a-name-and-its-old-name", sound.replace('"kind"', '"mode": "bus", "kind"'), "refused", ("kind", "mode")),
        ("an-empty-name", sound.replace('"y"', '"": 1, "y"'), "whole", ()),
        ("a-separator-of-records", "\x1e" + sound, "whole", ()),
        ("a-thousand-digits", sound.replace("21.75", "1" * 5000), "partly", ("x",)),
        ("an-unknown-name", sound.replace('"y"', '"z": {"a": [1]}, "y"'), "whole", ()),
    )
    for slug, line, fate, says in cases:  # fmt: skip
        place = f"line-{slug}"
        told = jsonl_of(rows(place)).decode().splitlines()
        told[3] = line.replace("PLACE", place)
        content = "".join(f"{one}\n" for one in told).encode()
        yield Sample(f"jsonl/a-line-is-{slug}.jsonl", content, fate, says, {"whole": 12, "partly": 11}.get(fate))


def _wholes() -> Iterator[Sample]:
    """Files that are JSON, and not one object a line."""

    def of(place: str) -> list[dict[str, object]]:
        return [texts(row) for row in rows(f"whole-{place}")]

    pretty = json.dumps(of("a"), indent=2)
    one = json.dumps(of("b"))
    for slug, content, says in (
        ("a-list-over-many-lines", pretty, ()),
        ("a-list-in-one-line", one, ("line 1", "JSON object", "one object a line")),
        ("objects-over-many-lines", "\n".join(json.dumps(row, indent=1) for row in of("c")), ()),
        ("rows-below-a-name", json.dumps({"data": of("d")}), ("columns missing", "data")),
        ("columns-instead-of-rows", json.dumps({"id": [1, 2], "x": [1.5, 2.5]}), ("columns missing",)),
        ("rows-as-lists", "\n".join(json.dumps(list(row.values())) for row in of("e")), ()),
        ("objects-without-line-ends", "".join(json.dumps(row) for row in of("f")), ()),
        ("lines-of-csv", "id,place,at\n1,a,2026-01-01\n", ()),
        ("yaml", "- id: 1\n  place: a\n- id: 2\n  place: b\n", ()),
        ("every-row-of-python", "\n".join(repr(row) for row in of("g")), ()),
    ):
        yield Sample(f"jsonl/{slug}.jsonl", content.encode(), "refused", says)
    blank = "\n\n".join(json.dumps(row) for row in of("h"))
    yield Sample("jsonl/blank-lines-between.jsonl", blank.encode(), "whole", rows=ROWS)
    windows = "\r\n".join(json.dumps(row) for row in of("i"))
    yield Sample("jsonl/line-ends-of-windows.ndjson", windows.encode(), "whole", rows=ROWS)
    commas = ",\n".join(json.dumps(row) for row in of("j"))
    yield Sample("jsonl/commas-between-lines.jsonl", commas.encode(), "refused", ("JSON object", "one object a line"))
    sparse = "\n".join(json.dumps({n: v for n, v in row.items() if v is not None}) for row in of("k"))
    yield Sample("jsonl/no-line-end-at-the-end.jsonl", sparse.encode(), "whole", rows=ROWS)


def _depths() -> Iterator[Sample]:
    deep = ("deep", "16", "source.limits.nesting")
    cases_2: tuple[tuple[str, str, Fate, tuple[str, ...]], ...] = (
        ("lists-14-deep", "[" * 14 + "]" * 14, "whole", ()),
        ("lists-20-deep", "[" * 20 + "]" * 20, "refused", deep),
        ("lists-20000-deep", "[" * 20_000 + "]" * 20_000, "refused", deep),
        ("lists-20000-deep-never-closed", "[" * 20_000, "refused", deep),
        ("objects-20-deep", '{"a":' * 20 + "1" + "}" * 20, "refused", deep),
        ("objects-9000-deep", '{"a":' * 9000 + "1" + "}" * 9000, "refused", deep),
        ("brackets-in-a-text", '"' + "[{" * 5000 + '"', "whole", ()),
    )
    for slug, value, fate, says in cases_2:
        place = f"depth-{slug}"
        told = jsonl_of(rows(place)).decode()
        content = told.replace('"stop 3, Zürich"', value).encode()
        yield Sample(f"jsonl/{slug}.jsonl", content, fate, says, ROWS if fate == "whole" else None)
    yield Sample("jsonl/brackets-alone.jsonl", b"[" * 50_000 + b"\n", "refused", deep)
