"""Breast cancer: the bundled table dealt to parts, each row once, each part with both classes."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_breast_cancer

from examples.breast_cancer.land import deal, diagnoses, land, main

TABLE = diagnoses()


def test_the_parts_hold_the_bundled_table(tmp_path: Path) -> None:
    paths = land(tmp_path)
    assert [path.name for path in paths] == ["diagnosis-1.parquet", "diagnosis-2.parquet", "diagnosis-3.parquet"]
    assert sorted(tmp_path.iterdir()) == paths
    joined = pd.concat([pd.read_parquet(path) for path in paths]).sort_values("sample_id", ignore_index=True)
    bunch = load_breast_cancer()
    assert joined["sample_id"].tolist() == list(range(569))
    np.testing.assert_array_equal(joined.drop(columns=["sample_id", "diagnosis"]), bunch.data)
    assert joined["diagnosis"].tolist() == [str(bunch.target_names[code]) for code in bunch.target]


def test_columns_are_snake_case_with_key_first_and_label_last(tmp_path: Path) -> None:
    schema = pq.read_schema(land(tmp_path)[0])
    assert schema.names[:2] == ["sample_id", "mean_radius"]
    assert schema.names[-1] == "diagnosis"
    assert len(schema.names) == 32
    assert all(name.isidentifier() and name.islower() for name in schema.names)
    assert str(schema.field("sample_id").type) == "int64"


@settings(max_examples=20, deadline=None)
@given(parts=st.integers(1, 212), seed=st.integers(0, 2**32))
def test_each_row_is_dealt_once_and_each_part_has_both_classes(parts: int, seed: int) -> None:
    dealt = deal(TABLE, parts, seed)
    assert len(dealt) == parts
    assert sorted(pd.concat(dealt)["sample_id"]) == TABLE["sample_id"].tolist()
    assert all(set(part["diagnosis"]) == {"malignant", "benign"} for part in dealt)


def test_order_is_shuffled_by_the_seed_alone(tmp_path: Path) -> None:
    first, again, other = (land(tmp_path / name, 3, seed)[0] for name, seed in (("a", 0), ("b", 0), ("c", 1)))
    assert first.read_bytes() == again.read_bytes()
    ids = pd.read_parquet(first)["sample_id"]
    assert not ids.is_monotonic_increasing
    assert ids.tolist() != pd.read_parquet(other)["sample_id"].tolist()


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path), "--parts", "2"]) == 0
    assert "2 files" in capsys.readouterr().out
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("parts", ["0", "213", "-1"])
def test_parts_that_cannot_have_both_classes_are_one_line_and_status_2(
    parts: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "landing"), f"--parts={parts}"]) == 2
    error = capsys.readouterr().err
    assert "expected 1 to 212" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "landing").exists()
