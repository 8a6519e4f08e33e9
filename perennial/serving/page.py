"""The service's page for people: what it serves, what a row is, and a call that works. It loads nothing else."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import orjson

from perennial.serving.loaded import ServedVersions
from perennial.serving.schemas import example

if TYPE_CHECKING:
    from perennial.serving.service import Service

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1c2024;background:#fff}
table{border-collapse:collapse;margin:.5rem 0}td,th{border:1px solid #d5d9de;padding:.2rem .6rem;text-align:left}
pre{background:#f3f5f7;padding:.7rem;overflow-x:auto;border-radius:4px}h2{margin-top:2.2rem}small{color:#5b646e}
@media(prefers-color-scheme:dark){body{color:#e6e9ec;background:#15181b}pre{background:#1f2428}td,th{border-color:#3a4148}}
"""


def html(service: Service, address: str) -> str:
    """The page, for callers who reach the service at an address."""
    parts = [_part(name, slot.versions, slot.problem, address) for name, slot in sorted(service.slots.items())]
    token = " -H 'Authorization: Bearer TOKEN'" if service.serve.token is not None else ""
    sections = "".join(parts).replace("{token}", token) or "<p>No pipeline is served.</p>"
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>Perennial: predictions</title>"
        f"<meta name=viewport content='width=device-width'><style>{_STYLE}</style><h1>Predictions</h1>"
        "<p>MLflow's scoring protocol, for each pipeline. <a href=/openapi.json>OpenAPI</a> · "
        f"<a href=/metrics>metrics</a></p>{sections}</html>"
    )


def _part(name: str, live: ServedVersions | None, problem: str, address: str) -> str:
    wrong = f"<p><b>{escape(problem)}</b></p>" if problem else ""
    if live is None:
        return f"<h2>{escape(name)}</h2><p>It has no champion yet.</p>{wrong}"
    body = orjson.dumps({"dataframe_records": [example(live)]}).decode()
    call = f"curl{{token}} -H 'Content-Type: application/json' -d '{body}' {address}/pipelines/{name}/invocations"
    rows = "".join(
        f"<tr><td><code>{escape(one.name)}</code><td>{escape(one.expected)}"
        f"<td>{escape(one.column.unit or '')}<td>{escape(one.column.description or '')}"
        f"<td>{'yes' if one in live.fields and (one.column.required or not one.column.nullable) else 'no'}"
        for one in (*live.fields, *live.optional_fields)
    )
    challenger = ""
    if live.challenger is not None and live.exposure is not None:
        shown = "in shadow" if live.exposure.kind == "shadow" else f"canary for {live.exposure.share:.0%} of the keys"
        challenger = f"; version {live.challenger.version} is {shown}"
    return (
        f"<h2>{escape(name)}</h2><p>{escape(live.config.description)}<br><small>Champion: version "
        f"{live.champion.version}{challenger}</small></p>{wrong}<table><tr><th>column<th>expected<th>unit<th>meaning"
        f"<th>needed</tr>{rows}</table><pre>{escape(call)}</pre>"
    )
