"""A mistake in a YAML is reported with its file, line and path, what was found and what is allowed."""

import json
from pathlib import Path
from typing import NamedTuple

import pytest
from pydantic import BaseModel

from configs import base, contract, load, schema, source
from configs.load import ConfigError

SHIPPED = sorted(path.stem for path in load.SHIPPED.glob("*.yaml"))

GOOD = """\
name: demand
description: How many are asked for.
owner: team@perennial.invalid
task: regression
source: {landing: demand}
contract:
  key: [id]
  event_time: at
  target: amount
  columns:
    id: {type: integer}
    at: {type: timestamp}
    place: {type: string}
    price: {type: number, nullable: true}
    amount: {type: number}
expectations:
  - type: expect_column_mean_to_be_between
    arguments: {column: price, min_value: 0}
    severity: warning
features:
  numeric: [price]
  categorical:
    - place
split:
  kind: time
  holdout: 0.25
training:
  estimator: sklearn.linear_model.Ridge
  parameters: {alpha: 1.0}
evaluation:
  primary: mae
  bounds:
    - metric: r2
      minimum: 0.2
"""


class Mistake(NamedTuple):
    """One edit of the good YAML, and what the message must say of it."""

    old: str
    new: str
    line: int
    path: str
    found: str
    allowed: str


def write(folder: Path, text: str, name: str = "demand") -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def edited(old: str, new: str) -> str:
    assert GOOD.count(old) == 1, f"{old!r} must stand once"
    return GOOD.replace(old, new)


def complaint(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load.read(path)
    return str(caught.value)


def test_there_are_shipped_pipelines() -> None:
    assert {"bike_demand", "breast_cancer", "transit_delay"} <= set(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_yaml_loads(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PERENNIAL_CONFIGS", raising=False)
    config = load.load(name)
    assert config.name == name
    assert config.owner
    assert config.feature_columns
    assert config.contract.target not in config.feature_columns


def test_the_good_yaml_is_good(tmp_path: Path) -> None:
    config = load.read(write(tmp_path, GOOD))
    assert config.feature_columns == ("place", "price")
    assert config.split == schema.TimeSplit(kind="time", holdout=0.25)


def test_the_json_schema_for_editors_is_current() -> None:
    shipped = json.loads((load.SHIPPED / "schema.json").read_text(encoding="utf-8"))
    assert shipped == load.json_schema(), "run `make schema`"


def models() -> list[type[BaseModel]]:
    places = (base, source, contract, schema)
    ours = {one for place in places for one in vars(place).values() if isinstance(one, type)}
    sections: list[type[BaseModel]] = [one for one in ours if issubclass(one, base.Section)]
    found = sorted(sections, key=lambda one: one.__name__)
    assert len(found) > 18
    return found


@pytest.mark.parametrize("model", models(), ids=lambda model: str(model.__name__))
def test_every_field_says_what_it_means(model: type[BaseModel]) -> None:
    silent = [name for name, field in model.model_fields.items() if len(field.description or "") < 8]
    assert silent == []


@pytest.mark.parametrize("model", models(), ids=lambda model: str(model.__name__))
def test_every_model_is_frozen_strict_and_refuses_unknown_fields(model: type[BaseModel]) -> None:
    assert {key: model.model_config.get(key) for key in ("frozen", "strict", "extra")} == {
        "frozen": True,
        "strict": True,
        "extra": "forbid",
    }


MISTAKES = {
    "a misspelt field": Mistake("owner:", "ownr:", 3, "ownr", "an unknown field", "did you mean 'owner'?"),
    "a misspelt nested field": Mistake(
        "nullable: true", "nulable: true", 14, "contract.columns.price.nulable", "unknown field", "'nullable'"
    ),
    "a misspelt field of a chosen alternative": Mistake(
        "holdout: 0.25", "holdot: 0.25", 26, "split.holdot", "an unknown field", "did you mean 'holdout'?"
    ),
    "text for a number": Mistake(
        "minimum: 0.2", "minimum: low", 34, "evaluation.bounds[0].minimum", "'low' (str)", "valid number"
    ),
    "a fraction for an integer": Mistake(
        "task: regression", "task: regression\nseed: 1.5", 5, "seed", "1.5 (float)", "valid integer"
    ),
    "yes is no boolean": Mistake(
        "numeric: [price]", "numeric: [price]\n  scale: yes", 22, "features.scale", "'yes' (str)", "valid boolean"
    ),
    "nothing for a value": Mistake("task: regression", "task:", 4, "task", "nothing", "'regression'"),
    "a missing field": Mistake("  target: amount\n", "", 6, "contract.target", "nothing", "this field is required"),
    "a share above one": Mistake("holdout: 0.25", "holdout: 1.5", 26, "split.holdout", "1.5 (float)", "less than 1"),
    "a misspelt choice": Mistake(
        "task: regression", "task: regresion", 4, "task", "'regresion' (str)", "did you mean 'regression'?"
    ),
    "a misspelt choice in a list": Mistake(
        "metric: r2", "metric: rmes", 33, "evaluation.bounds[0].metric", "'rmes' (str)", "did you mean 'rmse'?"
    ),
    "an unknown kind of split": Mistake("kind: time", "kind: tme", 24, "split", "'tme'", "'time', 'random', 'group'"),
    "a feature that is no column": Mistake(
        "    - place\n", "    - plce\n", 23, "features.categorical[0]", "'plce'", "id, at, place, price, amount"
    ),
    "the target as feature": Mistake(
        "numeric: [price]",
        "numeric: [price, amount]",
        21,
        "features.numeric[1]",
        "'amount', the target",
        "known before",
    ),
    "text as a number": Mistake(
        "numeric: [price]", "numeric: [place]", 21, "features.numeric[0]", "of type string", "features.categorical"
    ),
    "no feature at all": Mistake(
        "  numeric: [price]\n  categorical:\n    - place\n",
        "  scale: true\n",
        20,
        "features",
        "no feature",
        "at least one",
    ),
    "a metric of the other task": Mistake(
        "primary: mae", "primary: roc_auc", 31, "evaluation.primary", "'roc_auc'", "for a regression: mae, rmse, r2"
    ),
    "a bound of the other task": Mistake(
        "metric: r2", "metric: accuracy", 33, "evaluation.bounds[0].metric", "'accuracy'", "mae, rmse, r2"
    ),
    "a bound without a limit": Mistake(
        "    - metric: r2\n      minimum: 0.2\n", "    - metric: r2\n", 33, "evaluation.bounds[0]", "without", "maximum"
    ),
    "a key that is no column": Mistake("key: [id]", "key: [idd]", 7, "contract.key[0]", "'idd'", "contract.columns"),
    "an event time that is no time": Mistake(
        "event_time: at", "event_time: price", 8, "contract.event_time", "of type number", "a timestamp"
    ),
    "a time split without a time": Mistake(
        "  event_time: at\n", "", 24, "split.kind", "without an event time", "contract.event_time"
    ),
    "a target that is text": Mistake(
        "target: amount", "target: place", 9, "contract.target", "of type string", "integer or number"
    ),
    "a zone that does not exist": Mistake(
        "target: amount", "target: amount\n  timezone: Europe/Berln", 10, "contract.timezone", "Berln", "IANA"
    ),
    "an expectation of a column that is not there": Mistake(
        "column: price", "column: prize", 18, "expectations[0].arguments.column", "'prize'", "contract.columns"
    ),
    "groups without a group split": Mistake(
        "primary: mae", "primary: mae\n  comparison: {unit: group}", 32, "evaluation.comparison.unit", "'group'", "row"
    ),
    "an unknown kind of place": Mistake(
        "{landing: demand}", '{landing: "s3x://bucket/in"}', 5, "source.landing", "unknown protocol 's3x'", "mean 's3'?"
    ),
    "a place that is none": Mistake(
        "{landing: demand}", '{landing: "s3://"}', 5, "source.landing", "names no place", "s3://bucket/folder"
    ),
    "a relative path in a URL": Mistake(
        "{landing: demand}", '{landing: "file://in"}', 5, "source.landing", "'file://in'", "file:///folder"
    ),
    "a marker in a folder": Mistake(
        "{landing: demand}", "{landing: demand, marker: /ready}", 5, "source.marker", "'/ready'", "without a slash"
    ),
    "a column called as one of predictions": Mistake(
        "    place:", "    Prediction:", 13, "contract.columns.Prediction", "a column of predictions", "another name"
    ),
    "a column called as a probability": Mistake(
        "    place:", "    probability_7:", 13, "contract.columns.probability_7", "of predictions", "probability_…"
    ),
    "two columns of one name but for the case": Mistake(
        "    place:", "    ID:", 13, "contract.columns.ID", "'ID' beside 'id'", "differ by more than their case"
    ),
    "a banned feature that is no column": Mistake(
        "task: regression",
        "task: regression\ncompliance: {banned_features: [place, prise]}",
        5,
        "compliance.banned_features[1]",
        "'prise'",
        "a column of contract.columns: id, at, place, price, amount",
    ),
    "an ignored column that is none": Mistake(
        "task: regression",
        "task: regression\nmonitoring: {ignore: [prise]}",
        5,
        "monitoring.ignore[0]",
        "'prise'",
        "a column of contract.columns",
    ),
    "a column's name with a blank": Mistake(
        "    place:", "    pl ace:", 13, "contract.columns.pl ace", "'pl ace'", "pattern"
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_told_where_it_is(mistake: Mistake, tmp_path: Path) -> None:
    path = write(tmp_path, edited(mistake.old, mistake.new))
    start = f"{path}:{mistake.line}: {mistake.path}: found "
    told = [line for line in complaint(path).splitlines() if line.startswith(start)]
    assert told, f"no line starts with {start!r}:\n{complaint(path)}"
    found, allowed = told[0].removeprefix(start).split("; allowed: ", 1)
    assert mistake.found in found
    assert mistake.allowed in allowed


def test_the_nearest_kind_of_split_is_offered(tmp_path: Path) -> None:
    assert "did you mean 'random'?" in complaint(write(tmp_path, edited("kind: time", "kind: randm")))


@pytest.mark.parametrize("url", ["s3://key:hunter2@bucket/in", "sftp://me@host/in", "abfs://c/in?sig=hunter2"])
def test_a_secret_in_a_url_is_refused_and_not_repeated(url: str, tmp_path: Path) -> None:
    told = complaint(write(tmp_path, edited("landing: demand", f'landing: "{url}"')))
    assert "source.landing: found a URL with a user, a password or a query" in told
    assert "hunter2" not in told


@pytest.mark.parametrize("place", ["s3://bucket", "s3://bucket/in", "memory://in", "file:///in", "/in", "a/b"])
def test_a_landing_place_may_be_a_folder_or_a_url(place: str, tmp_path: Path) -> None:
    path = write(tmp_path, edited("landing: demand", f'landing: "{place}"'))
    assert load.read(path).source.landing == place


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("owner:", "ownr:").replace("kind: time", "kind: time\n  shuffle: true").replace("0.25", "2.5")
    path = write(tmp_path, text)
    assert [line.split(": ")[1] for line in sorted(complaint(path).splitlines())] == [
        "split.shuffle",
        "split.holdout",
        "ownr",
    ]


def test_a_repeated_key_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, edited("    place: {type: string}\n", "    place: {type: string}\n    id: {type: string}\n"))
    assert complaint(path) == f"{path}:14: id: stands twice, first in line 11."


def test_what_is_not_yaml_is_told_with_its_line(tmp_path: Path) -> None:
    path = write(tmp_path, edited("key: [id]", "key: [id"))
    assert complaint(path).startswith(f"{path}:8: not YAML: ")


@pytest.mark.parametrize("text", ["", "- name: demand\n", "demand\n"], ids=["empty", "a list", "a word"])
def test_a_file_that_is_no_mapping_is_refused(text: str, tmp_path: Path) -> None:
    path = write(tmp_path, text)
    assert complaint(path).startswith(f"{path}:1: the file: found ")
    assert "object" in complaint(path)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "demand.yaml"
    path.write_bytes(b"name: d\xff\n")
    assert complaint(path).startswith(f"{path}: can't be read: ")


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("{{ owner }}", id="a template's braces"),
        pytest.param("!!binary aGk=", id="binary"),
        pytest.param("!!set {a, b}", id="set"),
        pytest.param("&a [*a]", id="an anchor within itself"),
        pytest.param('"a\0b"', id="a control character"),
    ],
)
def test_odd_yaml_is_a_config_error(value: str, tmp_path: Path) -> None:
    path = write(tmp_path, edited("team@perennial.invalid", value))
    assert str(path) in complaint(path)


def test_dates_stay_text(tmp_path: Path) -> None:
    path = write(tmp_path, edited("How many are asked for.", "2026-01-05"))
    assert load.read(path).description == "2026-01-05"


@pytest.mark.parametrize("word", ["yes", "on", "no", "off"])
def test_words_stay_words(word: str, tmp_path: Path) -> None:
    assert load.read(write(tmp_path, edited("team@perennial.invalid", word))).owner == word


def test_an_unknown_pipeline_offers_the_nearest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, GOOD)
    write(tmp_path, GOOD, "other")
    monkeypatch.setenv("PERENNIAL_CONFIGS", str(tmp_path))
    with pytest.raises(ConfigError) as caught:
        load.load("demnad")
    assert str(caught.value) == (
        f"No pipeline is named 'demnad'. Did you mean 'demand'? Pipelines in {tmp_path}: demand, other."
    )


def test_a_far_name_offers_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_CONFIGS", str(tmp_path))
    with pytest.raises(ConfigError) as caught:
        load.load("xyz")
    assert "Did you mean" not in str(caught.value)
    assert str(caught.value).endswith(": none.")


@pytest.mark.parametrize("name", ["../demand", "/demand", "sub/demand", ""])
def test_a_name_is_no_path(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, GOOD)
    (tmp_path / "sub").mkdir()
    monkeypatch.setenv("PERENNIAL_CONFIGS", str(tmp_path / "sub"))
    with pytest.raises(ConfigError, match="No pipeline is named"):
        load.load(name)


def test_a_name_that_differs_from_its_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, GOOD, "supply")
    monkeypatch.setenv("PERENNIAL_CONFIGS", str(tmp_path))
    with pytest.raises(ConfigError) as caught:
        load.load("supply")
    assert str(caught.value) == f"{path}: name: found 'demand', expected the file's own: 'supply'."


def test_an_exponent_makes_a_number_with_or_without_a_point(tmp_path: Path) -> None:
    path = write(tmp_path, edited("parameters: {alpha: 1.0}", "parameters: {alpha: 1e-3, tol: 1.0e-3}"))
    assert load.read(path).training.parameters == {"alpha": 0.001, "tol": 0.001}


def test_a_minimum_above_the_maximum_is_told(tmp_path: Path) -> None:
    path = write(tmp_path, edited("    place: {type: string}\n", "    place: {type: number, minimum: 2, maximum: 1}\n"))
    assert "contract.columns.place.minimum: found 2, above the maximum 1" in complaint(path)
