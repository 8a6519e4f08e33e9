"""Land scikit-learn's bundled breast cancer table as a few parquet files, each with both classes.

python -m examples.breast_cancer.land landing --parts 3
"""

import argparse
import sys
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.datasets import (  # type: ignore[import-untyped, unused-ignore]  # scikit-learn ships no types
    load_breast_cancer,
)

from examples import write_atomically

DEFAULT_PARTS = 3
DEFAULT_SEED = 0


def diagnoses() -> pd.DataFrame:
    """Return the bundled table, (569, 32): sample_id (int64 row number), 30 measurements, diagnosis (text)."""
    bunch = load_breast_cancer()
    table = pd.DataFrame(bunch.data, columns=[str(name).replace(" ", "_") for name in bunch.feature_names])
    table.insert(0, "sample_id", np.arange(len(table), dtype=np.int64))
    table["diagnosis"] = [str(bunch.target_names[code]) for code in bunch.target]
    return table


def deal(table: pd.DataFrame, parts: int, seed: int) -> list[pd.DataFrame]:
    """Return the rows dealt to `parts` tables in an order shuffled by `seed`, each class spread evenly over them.

    Raises ValueError where `parts` is less than 1 or more than the rows of the rarer class.
    """
    most = int(table["diagnosis"].value_counts().min())
    if not 1 <= parts <= most:
        raise ValueError(f"parts is {parts}, expected 1 to {most}: each part is to have both classes")
    shuffled = table.iloc[np.random.default_rng(seed).permutation(len(table))]
    part = shuffled.groupby("diagnosis").cumcount() % parts
    return [shuffled[part == number].reset_index(drop=True) for number in range(parts)]


def land(folder: Path, parts: int = DEFAULT_PARTS, seed: int = DEFAULT_SEED) -> list[Path]:
    """Write `diagnosis-1.parquet` and so on into `folder`; return the paths. Raises ValueError as `deal` does."""
    dealt = deal(diagnoses(), parts, seed)
    return [
        write_atomically(folder / f"diagnosis-{number}.parquet", _parquet(table))
        for number, table in enumerate(dealt, start=1)
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Land the parts as the command line asks; return the exit status, 2 where they cannot be dealt or written."""
    options = _parser().parse_args(arguments)
    try:
        paths = land(options.folder, options.parts, options.seed)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{len(paths)} files in {options.folder}: {', '.join(path.name for path in paths)}")
    return 0


def _parquet(table: pd.DataFrame) -> bytes:
    buffer = BytesIO()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m examples.breast_cancer.land",
        description="Write scikit-learn's bundled breast cancer table as parquet files, rows dealt in shuffled order.",
    )
    parser.add_argument("folder", type=Path, metavar="LANDING_DIR", help="folder for diagnosis-N.parquet")
    parser.add_argument("--parts", type=int, default=DEFAULT_PARTS, help="number of files (default %(default)s)")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED, help="seed of the shuffle (default %(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
