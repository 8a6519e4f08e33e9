"""The service answers as the model does, in every form of the protocol, and tells what is wrong without saying it."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pandas as pd
import pytest

from tasks.features.frame import feature_frame
from tasks.stores.lake.tables import Lake
from tasks.stores.registry import models
from tasks.stores.registry.tracking import Tracking
from tests.support.serving.homes import NAME, ROW, Home
from tests.support.serving.running import Running
from tests.support.world import trips

PATH = f"/pipelines/{NAME}/invocations"


def _model(pair: Home) -> tuple[Any, Any]:
    ref = Tracking(pair.world.settings, NAME).champion()
    assert ref is not None
    from pathlib import Path

    return ref, models.load(Path(ref.folder) / models.MODEL_FILE)


def _expected(pair: Home, frame: pd.DataFrame) -> list[float]:
    """What the loaded model answers for the rows as one batch."""
    import pyarrow as pa

    ref, model = _model(pair)
    schema = Lake(pair.world.settings, pair.world.config(NAME)).schema("observations")
    names = ref.feature_columns
    table = pa.table({name: pa.array(frame[name], schema.field(name).type, from_pandas=True) for name in names})
    answers, _ = models.predict(model, feature_frame(table, names, ref.columns))
    return [float(one) for one in answers]


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(frame.drop(columns="y").to_json(orient="records", date_format="iso"))
    return found


def _frame(rows: int) -> pd.DataFrame:
    frame = trips(5000, rows, seed=9)
    frame[["x1", "x2"]] = frame[["x1", "x2"]].round(6)  # as many digits as pandas writes into JSON
    frame.loc[::3, "x2"] = None
    return frame


def test_every_form_gives_what_the_loaded_model_gives(pair: Home, service: Running) -> None:
    frame = _frame(40)
    rows, expected = _rows(frame), _expected(pair, frame)
    names = list(rows[0])
    split = {"columns": names, "index": list(range(40)), "data": [list(row.values()) for row in rows]}
    order = pair.world.config(NAME).feature_columns
    bodies: list[dict[str, Any]] = [
        {"dataframe_split": split},
        {"dataframe_records": rows},
        {"instances": rows},
        {"instances": [[row[name] for name in order] for row in rows]},
        {"inputs": {name: [row[name] for row in rows] for name in names}},
        {"inputs": rows, "params": {}},
    ]
    for body in bodies:
        answer = service.client.post(PATH, json=body)
        assert answer.status_code == 200, answer.text
        assert answer.json()["predictions"] == expected  # each digit
        assert answer.json()["model"] == {"pipeline": NAME, "version": 2, "role": "champion"}
        assert answer.headers["x-perennial-version"] == "2"
    text = frame.drop(columns="y").to_csv(index=False)
    answer = service.client.post("/invocations", content=text, headers={"Content-Type": "text/csv; charset=utf-8"})
    assert answer.json()["predictions"] == expected


def test_an_unmodified_mlflow_client(pair: Home, service: Running) -> None:
    from mlflow.pyfunc.scoring_server.client import ScoringServerClient

    host, _, port = service.url.removeprefix("http://").partition(":")
    client = ScoringServerClient(host, int(port))
    client.ping()
    import mlflow

    assert client.get_version() == mlflow.__version__
    frame = _frame(20).drop(columns="y")
    found = client.invoke(frame).get_predictions()
    assert found.iloc[:, 0].tolist() == _expected(pair, frame)


def test_rows_sent_at_once_are_predicted_together_and_come_out_alike(pair: Home, service: Running) -> None:
    rows = _rows(_frame(300))
    before = service.metric("perennial_batch_rows_count")
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda row: service.ask(NAME, [row]), rows))
    found = [answer.json()["predictions"][0] for answer in answers]
    expected = service.ask(NAME, rows).json()["predictions"]
    assert found == pytest.approx(expected, rel=1e-12)
    assert service.metric("perennial_batch_rows_count") - before < 300


def test_a_single_row_is_as_the_model_has_it(pair: Home, service: Running) -> None:
    frame = _frame(5)
    for place in range(5):
        alone = frame.iloc[place : place + 1]
        assert service.ask(NAME, _rows(alone)).json()["predictions"] == _expected(pair, alone)


def test_no_rows_are_no_predictions(service: Running) -> None:
    answer = service.client.post(PATH, json={"dataframe_split": {"columns": ["x1", "x2", "kind"], "data": []}})
    assert (answer.status_code, answer.json()["predictions"]) == (200, [])


SECRET = "s3cr3t-value"  # noqa: S105  # stands for what a caller sends
WRONG: dict[str, tuple[dict[str, Any], str, int | None]] = {
    "missing column": ({"x1": ...}, "x1", None),
    "text for a number": ({"x1": SECRET}, "x1", 0),
    "boolean for a number": ({"x1": True}, "x1", 0),
    "object for a number": ({"x1": {"a": SECRET}}, "x1", 0),
    "below the minimum": ({"x1": -1000.5}, "x1", 0),
    "above the maximum": ({"x1": 1e308}, "x1", 0),
    "missing where not allowed": ({"x1": None}, "x1", 0),
    "unknown category": ({"kind": SECRET}, "kind", 0),
    "number for a text": ({"kind": 3}, "kind", 0),
    "fraction for an integer of the key": ({"id": 1.5}, "id", 0),
    "integer beyond 64 bits": ({"id": 2**70}, "id", 0),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_row_that_breaks_the_contract_is_told_where_and_not_what(service: Running, case: str) -> None:
    change, column, row = WRONG[case]
    sent = {name: value for name, value in {**ROW, **change}.items() if value is not ...}
    answer = service.client.post(PATH, content=json.dumps({"dataframe_records": [sent]}).encode())
    told = answer.json()
    assert answer.status_code == 400
    assert told["error_code"] == "INVALID_PARAMETER_VALUE"
    assert told["details"][0]["column"] == column
    assert told["details"][0].get("row") == row
    assert told["details"][0]["expected"]
    assert SECRET not in answer.text
    assert SECRET not in service.log.read_text()


BODIES: dict[str, tuple[bytes, str, int]] = {
    "not JSON": (b'{"dataframe_records": [', "application/json", 400),
    "nothing": (b"", "application/json", 400),
    "a list": (b"[1, 2]", "application/json", 400),
    "no form": (b'{"rows": []}', "application/json", 400),
    "two forms": (b'{"instances": [], "inputs": []}', "application/json", 400),
    "a number for rows": (b'{"instances": 3}', "application/json", 400),
    "rows of two widths": (b'{"dataframe_split": {"columns": ["x1", "x2"], "data": [[1, 2], [1]]}}', "", 400),
    "a name twice": (b'{"dataframe_split": {"columns": ["x1", "x1"], "data": []}}', "application/json", 400),
    "columns of two lengths": (b'{"inputs": {"x1": [1, 2], "x2": [1]}}', "application/json", 400),
    "deep": (b"[" * 100_000, "application/json", 400),
    "digits": (b'{"instances": [' + b"9" * 100_000 + b"]}", "application/json", 400),
    "a row that is no object": (b'{"dataframe_records": [1]}', "application/json", 400),
    "not UTF-8": (b'{"instances": ["\xff"]}', "application/json", 400),
    "half a surrogate": (b'{"dataframe_records": [{"x1": 1, "x2": 1, "kind": "\\ud800"}]}', "application/json", 400),
    "csv without a row's end": (b'x1,x2,kind\n1,"2', "text/csv", 400),
    "csv in latin-1": ("x1,x2,kind\n1,2,büs".encode("latin-1"), "text/csv", 400),
    "a type nobody reads": (b"<rows/>", "application/xml", 415),
    "too many rows": (b'{"instances": [' + b"[],".join([b""] * 10_002) + b"[]]}", "application/json", 400),
    "too large": (b" " * (2 << 20), "application/json", 413),
}


@pytest.mark.parametrize("case", BODIES)
def test_a_body_that_is_none(service: Running, case: str) -> None:
    content, kind, status = BODIES[case]
    answer = service.client.post(PATH, content=content, headers={"Content-Type": kind} if kind else {})
    assert answer.status_code == status, answer.text
    assert answer.json()["message"]


def test_nan_as_python_writes_it_is_missing(service: Running) -> None:
    body = b'{"dataframe_records": [{"x1": 0.5, "x2": NaN, "kind": "bus"}]}'
    same = {"dataframe_records": [{"x1": 0.5, "x2": None, "kind": "bus"}]}
    assert service.client.post(PATH, content=body).json() == service.client.post(PATH, json=same).json()
    answer = service.client.post(PATH, content=body.replace(b"0.5", b"Infinity"))
    assert answer.status_code == 400


def test_paths_and_methods_that_are_not_there(service: Running) -> None:
    assert service.client.post("/pipelines/nobody/invocations", json={}).status_code == 404
    assert service.client.get(PATH).status_code == 405
    assert service.client.get("/nothing").json()["error_code"] == "RESOURCE_DOES_NOT_EXIST"


def test_pages_for_people_and_machines(service: Running) -> None:
    assert service.client.get("/ping").status_code == 200
    assert service.client.get("/health").json() == {"status": "ok"}
    page = service.client.get("/docs").text
    assert "Minutes of a trip, for tests." in page
    assert "http://" not in page.replace("http://127", "")  # it loads nothing from elsewhere
    document = service.client.get("/openapi.json").json()
    example = document["components"]["schemas"][f"{NAME}_row"]["example"]
    assert service.ask(NAME, [example]).status_code == 200


def test_metrics_count_what_came_in(service: Running) -> None:
    labels = {"pipeline": NAME, "version": "2", "role": "champion"}
    before = service.metric("perennial_predictions_total", **labels)
    service.ask(NAME, [ROW, ROW])
    service.ask(NAME, [{}])
    assert service.metric("perennial_predictions_total", **labels) == before + 2
    assert service.metric("perennial_requests_total", pipeline=NAME, code="400") >= 1
    assert service.metric("perennial_model_version", pipeline=NAME, role="champion") == 2
