"""The report on a reproduced model: checks, findings and remedies."""

from __future__ import annotations

from typing import Literal

from tasks.records.base import Record, StoredRecord

CheckOutcome = Literal["equal", "differs", "not_recorded"]
CheckKind = Literal["configuration", "packages", "code", "data", "model"]
_SIGNS: dict[CheckOutcome, str] = {"equal": "=", "differs": "≠", "not_recorded": "?"}


class Check(Record):
    """One comparison with the recorded state.

    Attributes:
        kind: What is compared; `model`: the rebuilt model itself.
        found: The finding.
        remedy: What to do if it differs.
    """

    name: str
    kind: CheckKind
    outcome: CheckOutcome
    found: str
    remedy: str = ""


class Reproduction(StoredRecord):
    """A version compared with a model rebuilt from its lineage.

    Attributes:
        commit: The commit that it was trained with.
        python: The recorded Python version, such as 3.11.
        threads: Number of threads of BLAS and OpenMP, recorded and used for rebuilding.
        environment: Folder of the recorded code and packages; empty: the current environment.
        rebuilt: Whether it was rebuilt; not if any input differs.
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
        """Whether it was rebuilt and all checks are equal."""
        return self.rebuilt and all(check.outcome == "equal" for check in self.checks)

    def differs(self, *kinds: CheckKind) -> bool:
        """Return whether any check, of some kinds or of all, is not equal."""
        return any(check.outcome != "equal" and (not kinds or check.kind in kinds) for check in self.checks)


def headline(reproduction: Reproduction) -> str:
    """Return the outcome in one line."""
    name = f"{reproduction.pipeline} version {reproduction.version}"
    if reproduction.equal:
        return f"{name}: rebuilt equal"
    return f"{name}: rebuilt, and not equal" if reproduction.rebuilt else f"{name}: not rebuilt, its inputs differ"


def rows(reproduction: Reproduction) -> list[tuple[str, str, str]]:
    """Return a header and one row per check."""
    return [
        ("", "check", "found"),
        *((_SIGNS[check.outcome], check.name, check.found) for check in reproduction.checks),
    ]


def remedies(reproduction: Reproduction) -> list[str]:
    """Return the remedies, without repeats."""
    return list(
        dict.fromkeys(check.remedy for check in reproduction.checks if check.outcome != "equal" and check.remedy)
    )


def page(reproduction: Reproduction) -> str:
    """Return the page in markdown."""
    where = f" It was rebuilt in `{reproduction.environment}`." if reproduction.environment else ""
    lines = [
        f"# {headline(reproduction)}",
        f"Trained with commit `{reproduction.commit or 'unknown'}`, with {reproduction.threads} threads.{where}",
        "",
        "| | check | found |",
        "| --- | --- | --- |",
        *(f"| {sign} | {name} | {found.replace('|', '&#124;')} |" for sign, name, found in rows(reproduction)[1:]),
        "",
        *(f"- {remedy}" for remedy in remedies(reproduction)),
    ]
    return "\n".join(lines)
