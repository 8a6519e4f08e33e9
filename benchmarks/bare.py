"""The bare script that the whole job is compared with: read parquet, same checks by hand, same model, save."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import skops.io as sio
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.metrics import mean_absolute_error
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder

NUMERIC = [f"x{number}" for number in range(8)]
CATEGORICAL = ["kind", "place"]


def check(frame: pd.DataFrame) -> pd.DataFrame:
    """The contract's checks by hand; the rows that hold."""
    good = frame["id"].notna() & frame["at"].notna() & frame["y"].notna()
    for name in NUMERIC:
        good &= frame[name].isna() | frame[name].between(-1e6, 1e6)
    good &= frame["kind"].isin(["a", "b", "c", "d"]) & frame["place"].notna()
    good &= frame["load"].between(0.0, 1.0) & frame["wind"].between(0.0, 100.0)
    good &= ~frame["id"].duplicated()
    return frame[good]


def main(folder: Path, output: Path) -> None:
    """Read, check, split by time, fit, measure, save."""
    frame = pd.concat([pd.read_parquet(path) for path in sorted(folder.glob("*.parquet"))], ignore_index=True)
    frame = check(frame).sort_values("at", kind="stable")
    numeric = [*NUMERIC, "load", "wind"]
    boundary = frame["at"].iloc[int(0.8 * len(frame))]
    train, holdout = frame[frame["at"] < boundary], frame[frame["at"] >= boundary]
    features = ColumnTransformer(
        [
            ("numeric", SimpleImputer(strategy="median"), numeric),
            ("categorical", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-2), CATEGORICAL),
        ]
    )
    estimator = HistGradientBoostingRegressor(max_iter=100, random_state=0)
    model = Pipeline([("features", features), ("model", estimator)]).fit(train[[*numeric, *CATEGORICAL]], train["y"])
    predicted = model.predict(holdout[[*numeric, *CATEGORICAL]])
    print(f"mae {mean_absolute_error(holdout['y'], np.asarray(predicted)):.4f} on {len(holdout)} rows")
    sio.dump(model, output)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
