"""A person decides: a version that passed waits, is answered, and a later deploy run carries the answer out."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from flows.approve import approve as approve_flow
from flows.deploy import deploy as deploy_flow
from tasks.lifecycle.due import is_idle
from tasks.lifecycle.up_to_date import undeployed
from tasks.records.decision import Promotion
from tasks.release import page as release_page
from tasks.release import promotion, stage
from tasks.stores.registry.tracking import Tracking
from tasks.stores.state import candidates
from tasks.stores.state.approvals import APPROVAL, ApprovalRequest, Approvals
from tasks.stores.state.audit import MOVE_CHAMPION, Audit
from tasks.stores.state.tokens import TokenStore
from tests.support.command import Cli, Said, showing
from tests.support.direct import deploy
from tests.support.rollouts import page
from tests.support.world import ROOT, World, trips

NAME = "asked"
ASK: dict[str, Any] = {"approval": {"required": True}}
SHOW = showing("pandas", "mlflow", "prefect", "sklearn", "great_expectations", "evidently")


@pytest.fixture(scope="module")
def asked(module_world: World) -> World:
    """A pipeline that asks a person, whose first run has trained version 1."""
    module_world.pipeline(NAME, ASK)
    module_world.land(NAME, "a.csv", trips(0, 150, seed=1))
    report = module_world.flow(NAME)
    assert (report.outcome, report.version, report.champion) == ("awaiting_approval", 1, None)
    assert f"perennial approve {NAME}@1 --reason TEXT" in report.reasons[0]
    return module_world


def another(world: World, name: str = NAME, by: str = "trainer") -> int:
    """A further candidate that passed against the present champion: the last model, in a run of its own."""
    import mlflow

    audit, tracking = Audit(world.settings), Tracking(world.settings, name)
    last = candidates.newest(audit, name)
    assert last is not None
    client = mlflow.MlflowClient()
    experiment = client.get_run(last.model.run_id).info.experiment_id
    model = last.model.model_copy(update={"run_id": client.create_run(experiment).info.run_id})
    verdict = last.verdict.model_copy(update={"champion_version": tracking.champion_version()})
    made = last.model_copy(update={"model": model, "verdict": verdict})
    intent = candidates.submit(audit, made, at=datetime.now(UTC), actor=by)
    assert intent is not None
    return intent


def deployed(name: str = NAME, now: datetime | None = None, *, flow: bool = False) -> Promotion:
    """What a release comes to; as a flow of Prefect, where its pages are read."""
    found = deploy_flow(name, now) if flow else deploy(name, now)
    assert found is not None
    return found


def waiting(world: World, name: str = NAME, by: str = "trainer", *, flow: bool = False) -> int:
    """The number of a version that waits for a person, made anew."""
    another(world, name, by)
    found = deployed(name, flow=flow)
    assert found.outcome == "awaiting_approval"
    return found.version


def events(world: World, name: str = NAME) -> list[tuple[str, Any]]:
    """Names and versions of the events told so far."""
    with sqlite3.connect(world.settings.state / "audit.db") as database:
        bodies = [json.loads(row[0]) for row in database.execute("SELECT body FROM outbox ORDER BY number")]
    found = [one for one in bodies if one["resource"]["prefect.resource.name"] == name]
    return [(one["event"].removeprefix("perennial."), one["payload"].get("version")) for one in found]


def ended(world: World, version: int, name: str = NAME) -> tuple[str, str]:
    """What became of a version, and why, as the audit has it."""
    audit = Audit(world.settings)
    outcomes = {number: outcome for _, _, outcome, number in candidates.evaluated(audit, name)}
    return outcomes[version], candidates.close_reasons(audit, name)[version]


def settled(world: World, now: datetime | None = None, name: str = NAME) -> bool:
    return is_idle(world.config(name), world.settings, now)


LATER = timedelta(hours=73)


# ------------------------------------------------------------------------------------------------ the story
def test_a_version_that_waits_is_told_everywhere_and_is_no_work(asked: World, cli: Cli) -> None:
    assert asked.alias(NAME) is None
    assert settled(asked)
    assert undeployed(asked.config(NAME), asked.settings) == []
    again = cli("run", NAME, "--json")
    assert again.code == 0
    assert (again.json()["outcome"], again.json()["version"]) == ("awaiting_approval", 1)
    told = cli("status", NAME).out
    assert "waits for a person\n  version 1 waits until" in told
    assert "awaiting_approval" in told
    (pending,) = cli("status", NAME, "--json").json()["pending"]
    assert (pending["version"], pending["requested_by"]) == (1, "tests")
    asks = page(f"{NAME}-approval")
    assert f"`perennial approve {NAME}@1 --reason TEXT`" in asks
    assert f"`perennial reject {NAME}@1 --reason TEXT`" in asks
    assert "Decide before" in asks
    assert "## Model card" in asks
    assert "form" not in asks  # this server has no UI
    assert events(asked)[-2:] == [("model.registered", 1), ("approval.requested", 1)]


def test_deploying_again_neither_asks_again_nor_makes_a_version(asked: World) -> None:
    before = events(asked), page(f"{NAME}-approval")
    found = deployed(flow=True)
    assert (found.outcome, found.version) == ("awaiting_approval", 1)
    assert (events(asked), page(f"{NAME}-approval")) == before
    assert len(Approvals(asked.settings).pending(NAME, datetime.now(UTC))) == 1
    assert len(Audit(asked.settings).entries(NAME, APPROVAL)) == 1


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("approve", f"{NAME}@x", "--reason", "ok"), "expected NAME@VERSION"),
        (("approve", f"{NAME}@0", "--reason", "ok"), "expected NAME@VERSION"),
        (("approve", f"@{NAME}", "--reason", "ok"), "expected NAME@VERSION"),
        (("approve", f"{NAME}@9", "--reason", "ok"), "asked has no version 9; known here: 1."),
        (("reject", f"{NAME}@1", "--reason", "  "), "expected a text of 1 to 2000"),
        (("approve", f"{NAME}@1"), "--reason"),
        (("approve", "nobody@1", "--reason", "ok"), "No pipeline is named 'nobody'"),
    ],
)
def test_wrong_use_is_told_and_answers_nothing(asked: World, cli: Cli, words: tuple[str, ...], complaint: str) -> None:
    said = cli(*words)
    assert (said.code, said.out) == (2, "")
    assert complaint in said.err
    assert "Traceback" not in said.err
    assert len(Approvals(asked.settings).pending(NAME, datetime.now(UTC))) == 1


def test_an_approved_version_is_promoted_by_the_next_run(asked: World, cli: Cli) -> None:
    said = cli("approve", NAME, "--reason", " looks\n good ")
    assert said.code == 0, said.err
    assert "asked: version 1 approved by tests (identity not verified)" in said.out
    assert events(asked)[-1] == ("approval.answered", 1)
    assert asked.alias(NAME) is None, "an answer moves nothing by itself"
    told = cli("status", NAME).out
    assert "waits for a person" not in told
    assert "approved by tests (identity not verified)" in told
    assert not settled(asked)
    assert len(undeployed(asked.config(NAME), asked.settings)) == 1
    report = asked.flow(NAME)
    assert (report.outcome, report.version, report.champion) == ("promoted", 1, 1)
    assert asked.alias(NAME) == 1
    assert "approved by tests (identity not verified)" in report.reasons[-1]
    assert report.reasons[-1].endswith("looks good")
    assert settled(asked)
    assert "| A01 approval by a person | **pass** | approved by tests" in page(f"{NAME}-release")
    assert "looks good" in Audit(asked.settings).champion_periods(NAME)[0].reason
    assert events(asked)[-1] == ("model.promoted", 1)
    assert ended(asked, 1)[0] == "promoted"
    lines = Audit(asked.settings).entries(NAME, APPROVAL)
    assert [(line.phase, line.actor) for line in lines] == [("intent", "tests"), ("done", "tests")]


def test_a_second_answer_is_told_who_gave_the_first(asked: World, cli: Cli) -> None:
    said = cli("reject", f"{NAME}@1", "--reason", "too late")
    assert said.code == 2
    assert "approved by tests (identity not verified) on " in said.err
    assert "looks good. Nothing was changed" in said.err
    assert asked.alias(NAME) == 1
    none = cli("reject", NAME, "--reason", "too late")
    assert (none.code, none.err.count("\n")) == (2, 1)
    assert "No version of asked awaits a decision" in none.err


def test_a_rejected_version_leaves_the_champion(asked: World, cli: Cli) -> None:
    version = waiting(asked)
    assert cli("reject", f"{NAME}@{version}", "--reason", "odd | residuals").code == 0
    found = deployed(flow=True)
    assert (found.outcome, found.version, found.champion) == ("kept_champion", version, 1)
    assert asked.alias(NAME) == 1
    assert "rejected by tests" in found.reasons[0]
    assert r"odd \| residuals" in page(f"{NAME}-release")
    assert events(asked)[-1] == ("model.rejected", version)
    assert "odd | residuals" in cli("status", NAME).out
    assert deploy(NAME) is None


def test_nobody_answered_until_the_deadline_and_the_champion_stays(asked: World, cli: Cli) -> None:
    version = waiting(asked)
    now = datetime.now(UTC)
    assert undeployed(asked.config(NAME), asked.settings, now + timedelta(hours=71)) == []
    assert len(undeployed(asked.config(NAME), asked.settings, now + LATER)) == 1
    found = deployed(now=now + LATER)
    assert (found.outcome, found.version, found.champion) == ("kept_champion", version, 1)
    assert "no decision by" in found.reasons[0]
    assert "no decision by" in ended(asked, version)[1]
    late = cli("approve", f"{NAME}@{version}", "--reason", "ok")
    assert late.code == 2
    assert "no decision by" in late.err
    assert deploy(NAME) is None
    assert asked.alias(NAME) == 1


def test_a_newer_version_supersedes_the_one_that_waits(asked: World, cli: Cli) -> None:
    older = waiting(asked)
    newer = waiting(asked)
    assert ended(asked, older) == ("kept_champion", f"A01 approval by a person: superseded by version {newer}")
    said = cli("approve", f"{NAME}@{older}", "--reason", "ok")
    assert said.code == 2
    assert f"superseded by version {newer}" in said.err
    assert [one.version for one in Approvals(asked.settings).pending(NAME, datetime.now(UTC))] == [newer]
    assert cli("reject", f"{NAME}@{newer}", "--reason", "no").code == 0
    deploy(NAME)


def test_two_candidates_left_by_killed_runs_end_with_one_that_waits(asked: World, cli: Cli) -> None:
    another(asked)
    another(asked)
    found = deployed()
    assert found.outcome == "awaiting_approval"
    assert ended(asked, found.version - 1)[0] == "kept_champion"
    assert cli("reject", NAME, "--reason", "no").code == 0
    deploy(NAME)


def test_an_approved_version_is_held_against_the_champion_of_that_moment(asked: World, cli: Cli) -> None:
    version = waiting(asked)
    assert cli("approve", f"{NAME}@{version}", "--reason", "ok").code == 0
    Tracking(asked.settings, NAME).set_champion(2)  # someone moved the alias by hand
    found = deployed()
    assert (found.outcome, found.version, found.champion) == ("kept_champion", version, 2)
    assert found.reasons[0] == "it was compared with champion 1, but now there is champion 2"
    assert asked.alias(NAME) == 2
    Tracking(asked.settings, NAME).set_champion(1)


def test_a_clock_set_back_leaves_a_person_the_whole_time(asked: World, cli: Cli) -> None:
    another(asked)
    found = deployed(now=datetime(2026, 1, 1, tzinfo=UTC))
    (pending,) = Approvals(asked.settings).pending(NAME, datetime.now(UTC))
    assert pending.deadline > datetime.now(UTC) + timedelta(hours=71)
    assert cli("reject", f"{NAME}@{found.version}", "--reason", "no").code == 0
    deploy(NAME)


# ------------------------------------------------------------------------------------------------ the form
def test_the_form_asks_for_everything_and_answers_nothing_by_default() -> None:
    from prefect.utilities.callables import parameter_schema

    schema = parameter_schema(approve_flow).model_dump()
    assert sorted(schema["required"]) == ["decision", "pipeline", "reason", "version"]
    assert not [name for name, field in schema["properties"].items() if "default" in field]
    assert schema["properties"]["decision"]["enum"] == ["approve", "reject"]
    assert schema["properties"]["reason"]["minLength"] == 1


def test_the_form_writes_the_answer_down_and_tells_it(asked: World) -> None:
    version = waiting(asked)
    blank = approve_flow(NAME, version, "approve", "  ", return_state=True)
    assert blank.is_failed()
    wrong = approve_flow(NAME, 99, "approve", "ok", return_state=True)
    assert wrong.is_failed()
    assert str(wrong.message).startswith("asked has no version 99; known here: ")
    state = approve_flow(NAME, version, "reject", " not today ", return_state=True)
    assert (state.name, state.type.value) == ("Rejected", "COMPLETED")
    answered = cast("ApprovalRequest", state.result())
    assert (answered.by, answered.verified, answered.reason) == ("Prefect UI", False, "not today")
    assert events(asked)[-1] == ("approval.answered", version)
    found = deployed()
    assert (found.outcome, found.reasons[0].count("Prefect UI (identity not verified)")) == ("kept_champion", 1)


# ------------------------------------------------------------------------------------------------ four eyes
@pytest.fixture
def strict(asked: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """The pipeline with four eyes asked for, and nobody's token in the environment."""
    asked.pipeline(NAME, {"approval": {"required": True, "four_eyes": True}})
    monkeypatch.delenv("PERENNIAL_TOKEN", raising=False)
    return asked


def with_token(cli: Cli, monkeypatch: pytest.MonkeyPatch, token: str) -> Callable[..., Said]:
    monkeypatch.setenv("PERENNIAL_TOKEN", token)
    return cli


def test_with_four_eyes_another_person_has_to_prove_it(
    strict: World, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = waiting(strict, by="ana", flow=True)
    address = f"{NAME}@{version}"
    assert "PERENNIAL_TOKEN" in page(f"{NAME}-approval")
    made = cli("token", "ana")
    assert "shown this once" in made.err
    ana, ben = made.out.strip(), str(cli("token", "ben", "--json").json()["token"])

    unproven = cli("approve", address, "--reason", "ok")
    assert unproven.code == 2
    assert "identity is not verified" in unproven.err
    form = approve_flow(NAME, version, "approve", "ok", return_state=True)
    assert form.is_failed()
    assert "PERENNIAL_TOKEN=... perennial approve" in str(form.message)
    own = with_token(cli, monkeypatch, ana)("approve", address, "--reason", "ok")
    assert own.code == 2
    assert "ana submitted it: another person has to approve" in own.err
    forged = with_token(cli, monkeypatch, ben[:-1])("approve", address, "--reason", "ok")
    assert forged.code == 2
    assert "a token that nobody holds" in forged.err
    assert ben[:-1] not in forged.err

    said = with_token(cli, monkeypatch, ben)("approve", address, "--reason", "ok")
    assert said.code == 0, said.err
    assert "approved by ben (by personal token)" in said.out
    found = deployed()
    assert (found.outcome, found.champion) == ("promoted", version)
    assert found.approval is not None
    assert (found.approval.evidence["by"], found.approval.evidence["verified"]) == ("ben", True)
    assert not any(
        token in path.read_text(errors="replace")
        for token in (ana.partition(".")[2], ben.partition(".")[2])
        for path in strict.home.rglob("*")
        if path.is_file()
    )


def test_with_four_eyes_anyone_may_reject(strict: World, cli: Cli) -> None:
    version = waiting(strict)
    assert cli("reject", f"{NAME}@{version}", "--reason", "no").code == 0
    assert deployed().outcome == "kept_champion"


def test_a_revoked_token_proves_nothing(strict: World, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    token = cli("token", "cleo").out.strip()
    assert TokenStore(strict.settings).holder(token) == "cleo"
    assert cli("token", "cleo", "--revoke").out == "the token of cleo is revoked\n"
    version = waiting(strict)
    said = with_token(cli, monkeypatch, token)("reject", f"{NAME}@{version}", "--reason", "no")
    assert said.code == 2
    assert "wrong, or revoked" in said.err
    again = cli("token", "cleo", "--revoke")
    assert again.code == 2
    assert "'cleo' holds no token" in again.err


# ------------------------------------------------------------------------------------------------ killed between
class Killed(BaseException):
    """What kill -9 is to the lines that would have followed."""


def die(*_: Any, **__: Any) -> None:
    raise Killed


def killed_at(place: Any, name: str) -> None:
    """A deploy run that comes as far as the call of a function."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(place, name, die)
        with pytest.raises(Killed):
            deploy_flow(NAME)


MOMENTS = {
    "registered, not applied": (promotion, "recover_moves"),
    "applied, not closed": (release_page, "approval_page"),
    "audited, not kept": (Approvals, "put"),
    "kept, not logged": (stage, "decision_row"),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_deploy_killed_while_it_asks_asks_once(asked: World, moment: str) -> None:
    asked.pipeline(NAME, ASK)
    intent = another(asked)
    before = max(number or 0 for _, _, _, number in candidates.evaluated(Audit(asked.settings), NAME))
    killed_at(*MOMENTS[moment])
    for _ in range(2):
        found = deployed()
        assert (found.outcome, found.version) == ("awaiting_approval", before + 1)
    (pending,) = Approvals(asked.settings).pending(NAME, datetime.now(UTC))
    assert (pending.candidate, pending.version) == (intent, before + 1)
    asks = [one for one in Audit(asked.settings).entries(NAME, APPROVAL) if one.details.get("candidate") == intent]
    assert len(asks) == 1
    told = events(asked)
    assert ("approval.requested", before + 1) in told


@pytest.mark.parametrize(
    ("place", "name"),
    [
        (Tracking, "set_champion"),  # intent audited, alias not moved
        (release_page, "promotion_page"),  # alias moved, candidate still open
        (stage, "audit_close"),
    ],
)
def test_a_deploy_killed_while_it_promotes_promotes_once(asked: World, cli: Cli, place: Any, name: str) -> None:
    version = waiting(asked)
    assert cli("approve", f"{NAME}@{version}", "--reason", "ok").code == 0
    moves = len(Audit(asked.settings).champion_periods(NAME))
    killed_at(place, name)
    found = deployed()
    assert (found.outcome, found.version, found.champion) == ("promoted", version, version)
    assert found.reasons[-1].startswith("A01")
    audit = Audit(asked.settings)
    assert asked.alias(NAME) == version == audit.champion(NAME)
    assert len(audit.champion_periods(NAME)) == moves + 1
    assert not audit.open_intents(NAME, MOVE_CHAMPION)
    assert not audit.open_intents(NAME, APPROVAL)
    assert deploy(NAME) is None


def test_an_answer_killed_before_it_was_audited_is_audited_when_carried_out(
    asked: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = waiting(asked)
    approvals = Approvals(asked.settings)
    request = approvals.of_version(NAME, version)
    assert request is not None
    at = datetime.now(UTC)
    approvals.record_decision(request, "reject", by="ana", verified=True, reason="no", at=at)
    assert deployed().outcome == "kept_champion"
    last = Audit(asked.settings).entries(NAME, APPROVAL)[-1]
    assert (last.phase, last.actor, last.at) == ("done", "ana", at)


# ------------------------------------------------------------------------------------------------ the command
def test_answering_is_fast_and_needs_no_server(asked: World) -> None:
    version = waiting(asked)
    env = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
    words = [sys.executable, "-c", SHOW, "reject", f"{NAME}@{version}", "--reason", "no"]
    done = subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True, check=True, timeout=120)
    told, carried, last = done.stdout.splitlines()
    assert told == f"{NAME}: version {version} rejected by tests (identity not verified)"
    assert carried.startswith(f"  carried out by the next `perennial run {NAME}`")
    assert last == "0", f"imported beside the exit code: {last}"
    assert deployed().outcome == "kept_champion"


def test_without_the_rule_nobody_is_asked(asked: World) -> None:
    assert not asked.pipeline(NAME).approval.required
    another(asked)
    found = deployed(flow=True)
    assert (found.outcome, found.approval) == ("promoted", None)
    assert "A01" not in page(f"{NAME}-release")
