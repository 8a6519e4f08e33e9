"""What Grafana's dashboard asks of Prometheus, read query by query."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from tests.support.docker.files import DOCKER

DASHBOARD = json.loads((DOCKER / "grafana" / "dashboards" / "perennial.json").read_text(encoding="utf-8"))
OWN = {"instance", "job"}  # which Prometheus adds to all that it scrapes
_NAME = re.compile(r"\b(?:perennial|prefect|process)_\w+|\bup\b")


class Query(NamedTuple):
    """One query: the metrics that it names and the labels that it and its legend go by."""

    text: str
    metrics: set[str]
    labels: set[str]


def panels() -> list[dict[str, Any]]:
    """The panels that ask something; rows only part them."""
    return [one for one in DASHBOARD["panels"] if one["type"] != "row"]


def queries() -> list[Query]:
    """All queries, those that fill the variables with them."""
    found = [query(one["expr"], one["legendFormat"]) for panel in panels() for one in panel["targets"]]
    return found + [query(*_of_variable(one["query"]["query"])) for one in DASHBOARD["templating"]["list"]]


def of_service() -> list[Query]:
    """Those that the prediction service answers for."""
    return [one for one in queries() if any(name.startswith("perennial_") for name in one.metrics)]


def query(text: str, legend: str) -> Query:
    """A query read: nothing of it is passed over but functions, numbers and what is set in a label's place."""
    bare = re.sub(r'"[^"]*"', "", text)
    named = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", bare))
    for listed in re.findall(r"\b(?:by|without|on|ignoring) \(([^)]*)\)", bare):
        named |= {one.strip() for one in listed.split(",")}
    return Query(text, set(_NAME.findall(re.sub(r"{[^}]*}", "", bare))), named | set(re.findall(r"{{(\w+)}}", legend)))


def _of_variable(text: str) -> tuple[str, str]:
    """`label_values(SELECTOR, LABEL)` as a query with the label in its legend."""
    found = re.fullmatch(r"label_values\((.+), (\w+)\)", text)
    assert found is not None, text
    return found[1], f"{{{{{found[2]}}}}}"
