"""What came of rebuilding a model: a check each, what was found, and what to do about it."""

from __future__ import annotations

from typing import Literal

from tasks.records.base import Record, StoredRecord

Outcome = Literal["equal", "differs", "not_recorded"]
Kind = Literal["configuration", "packages", "code", "data", "model"]
_SIGNS: dict[Outcome, str] = {"equal": "=", "differs": "≠", "not_recorded": "?"}


class Check(Record):
    """One thing that was held against what was recorded.

    Attributes:
        kind: What it is about; `model`: the rebuilt model itself.
        found: What is equal, or how it differs.
        remedy: What to do where it differs.
    """

    name: str
    kind: Kind
    outcome: Outcome
    found: str
    remedy: str = ""


class Reproduction(StoredRecord):
    """A version held against a model rebuilt from its lineage.

    Attributes:
        commit: The code that it was made with.
        python: Its version then, such as 3.11.
        threads: Threads of BLAS and OpenMP, then and for rebuilding.
        environment: Where it was rebuilt: empty here and now, else the folder of code and packages of then.
        rebuilt: Whether it was: not where anything that it was made from differs.
    """

    pipeline: str
    version: int
    commit: str
    python: str
    threads: int
    environment: str = ""
    rebuilt: bool
    checks: tuple[Check, ...]

    @property
    def equal(self) -> bool:
        """Whether it was rebuilt and all is equal."""
        return self.rebuilt and all(check.outcome == "equal" for check in self.checks)

    def differs(self, *kinds: Kind) -> bool:
        """Whether anything of some kinds, or of any, is not equal."""
        return any(check.outcome != "equal" and (not kinds or check.kind in kinds) for check in self.checks)


def headline(one: Reproduction) -> str:
    """The outcome in a line."""
    name = f"{one.pipeline} version {one.version}"
    if one.equal:
        return f"{name}: rebuilt equal"
    return f"{name}: rebuilt, and not equal" if one.rebuilt else f"{name}: not rebuilt, what it was made from differs"


def rows(one: Reproduction) -> list[tuple[str, str, str]]:
    """A line a check, below a heading."""
    return [("", "check", "found"), *((_SIGNS[check.outcome], check.name, check.found) for check in one.checks)]


def remedies(one: Reproduction) -> list[str]:
    """What to do, each thing once."""
    return list(dict.fromkeys(check.remedy for check in one.checks if check.outcome != "equal" and check.remedy))


def page(one: Reproduction) -> str:
    """The run's page, in markdown."""
    where = f" It was rebuilt in `{one.environment}`." if one.environment else ""
    lines = [
        f"# {headline(one)}",
        f"Made by commit `{one.commit or 'unknown'}`, with {one.threads} threads.{where}",
        "",
        "| | check | found |",
        "| --- | --- | --- |",
        *(f"| {sign} | {name} | {found.replace('|', '&#124;')} |" for sign, name, found in rows(one)[1:]),
        "",
        *(f"- {remedy}" for remedy in remedies(one)),
    ]
    return "\n".join(lines)
