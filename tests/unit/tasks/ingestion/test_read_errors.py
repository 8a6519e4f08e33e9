"""No bytes, however damaged, end in anything but rows of the right types or a refusal with a reason."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.errors import DataRejectedError
from tasks.stores.lake.schemas import ROW
from tests.support.reading import COLUMNS, FORMATS, PACKED, ROWS, put, read

MANY = [{**ROWS[number % 3], "n": number} for number in range(60)]
WHOLE = {name: make(MANY) for name, make in FORMATS.items()}
WHOLE |= {f"a.csv{ending}": pack(WHOLE["a.csv"]) for ending, pack in PACKED.items()}
WHOLE |= {f"a.parquet{ending}": pack(WHOLE["a.parquet"]) for ending, pack in PACKED.items()}
# A process of its own reads them first, which takes a fifth of a second: fewer tries.
ARROW = {"a.arrow", "a.feather"}


def judged(path: Path) -> None:
    """Read a file: all is well, or it is refused in so many words."""
    refusal = ""
    try:
        found = read(path)
    except DataRejectedError as error:
        refusal = str(error)
        found = None
    if found is None:
        assert refusal.strip()
        assert "\n" not in refusal
        return
    assert found.table.column_names[: len(COLUMNS)] == list(COLUMNS)
    numbers = found.table.column(ROW).to_pylist()
    assert numbers == sorted(set(numbers))
    found.table.to_pylist()  # every value can be had


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, len(changed) - 1))
        changed[place] = draw(st.integers(0, 255))
    cut = draw(st.one_of(st.just(len(changed)), st.integers(1, len(changed))))
    start = draw(st.sampled_from([0, 0, 0, 1, 7]))
    more = draw(st.sampled_from([b"", b"", b"\n", b"\0", b"\xff\xfe", b'"', b'a,"b\n', bytes(range(256))]))
    return bytes(changed[start:cut]) + more


@pytest.mark.parametrize("name", sorted(WHOLE.keys() - ARROW))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_flipped_and_cut_bytes_are_judged(tmp_path: Path, name: str, data: st.DataObject) -> None:
    judged(put(tmp_path, name, data.draw(damaged(WHOLE[name])) or b"x"))


@pytest.mark.parametrize("name", sorted(WHOLE))
def test_bytes_flipped_all_over_are_judged(tmp_path: Path, name: str) -> None:
    chance = random.Random(7)  # noqa: S311  # not a secret
    for _ in range(8 if name in ARROW else 40):
        changed = bytearray(WHOLE[name])
        for place in chance.sample(range(len(changed)), k=chance.choice([1, 3, 30])):
            changed[place] ^= 1 << chance.randrange(8)
        judged(put(tmp_path, name, bytes(changed)))


@pytest.mark.parametrize("name", sorted(FORMATS))
@pytest.mark.parametrize("other", sorted(FORMATS))
def test_a_file_under_another_format_s_name_is_judged(tmp_path: Path, name: str, other: str) -> None:
    judged(put(tmp_path, name, WHOLE[other]))


@pytest.mark.parametrize("content", [b"\0", b"\n", b" ", b'"', b"'", b"{", b"PK\x03\x04", b"PAR1PAR1", b"\xff\xfe"])
@pytest.mark.parametrize("name", sorted(WHOLE))
def test_a_byte_or_two_are_refused(tmp_path: Path, name: str, content: bytes) -> None:
    with pytest.raises(DataRejectedError):
        read(put(tmp_path, name, content))
