"""Headers whose names are not those of the contract."""

from __future__ import annotations

from collections.abc import Iterator

from tests.support.corpus.base import Fate, Sample, joined, lines


def samples() -> Iterator[Sample]:
    yield from _headers()


def _headers() -> Iterator[Sample]:
    def head(place: str, *changes: tuple[str, str]) -> bytes:
        first, *body = lines(place)
        for old, new in changes:
            first = first.replace(old, new, 1)
        return joined([first, *body])

    cases: tuple[tuple[str, bytes, Fate, tuple[str, ...], int | None], ...] = (
        ("a-column-missing", head("headers-a", (",y,", ",why,")), "refused", ("columns missing: y", "why"), None),
        (
            "names-in-capitals",
            joined([lines("headers-b")[0].upper(), *lines("headers-b")[1:]]),
            "refused",
            ("columns missing", "ID"),
            None,
        ),
        ("no-header", joined(lines("headers-c")[1:]), "refused", ("columns missing", "found: 1"), None),
        ("a-column-twice", head("headers-d", ("note", "x")), "refused", ("columns appear twice: x",), None),
        (
            "a-column-and-its-old-name",
            head("headers-e", ("note", "mode")),
            "refused",
            ("kind and mode both mean kind",),
            None,
        ),
        ("an-old-name", head("headers-f", ("kind", "mode")), "whole", (), 12),
        (
            "an-unknown-column-twice",
            joined([f"{line},{'z,z' if not at else '1,2'}" for at, line in enumerate(lines("headers-g"))]),
            "whole",
            (),
            12,
        ),
        ("blanks-around-names", head("headers-h", ("x", " x "), ("y", "\ty")), "whole", (), 12),
        (
            "a-control-character-in-a-name",
            head("headers-i", (",x,", ",x\x07,")),
            "refused",
            ("columns missing: x",),
            None,
        ),
        (
            "a-zero-width-blank-in-a-name",
            head("headers-j", (",x,", ",x\u200b,")),
            "refused",
            ("columns missing: x",),
            None,
        ),
        ("a-line-end-in-a-name", head("headers-k", (",x,", ',"x\n(min)",')), "refused", ("columns missing: x",), None),
        ("an-empty-name", head("headers-l", ("note", "")), "whole", (), 12),
        (
            "all-names-empty",
            head("headers-m", (lines("headers-m")[0], "," * 8)),
            "refused",
            ("no header line with names",),
            None,
        ),
        ("two-names-exchanged", head("headers-n", ("x,y", "y,x")), "refused", ("no valid rows", "x"), None),
        (
            "two-text-names-exchanged",
            head("headers-o", ("place", "kind"), (",kind,ok", ",place,ok")),
            "refused",
            ("kind",),
            None,
        ),
        (
            "a-title-above",
            b"Trips of January\n" + joined(lines("headers-p")),
            "refused",
            ("columns missing", "Trips"),
            None,
        ),
        (
            "units-below",
            joined([lines("headers-q")[0], ",,,km,min,,,,", *lines("headers-q")[1:]]),
            "partly",
            ("km",),
            12,
        ),
        (
            "a-comment-above",
            b"# exported 2026\n" + joined(lines("headers-r")),
            "refused",
            ("columns missing", "# exported"),
            None,
        ),
        ("names-quoted-twice", head("headers-s", (",x,", ',"""x""",')), "refused", ("columns missing: x",), None),
        ("a-name-of-40000-letters", head("headers-t", ("note", "n" * 40_000)), "whole", (), 12),
    )
    for slug, content, fate, says, good in cases:
        yield Sample(f"headers/{slug}.csv", content, fate, says, good)
