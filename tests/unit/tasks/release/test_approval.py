"""Gate A01 and what becomes of a version: pure rules over a verdict, a champion, a request and a clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from configs.contract import Column
from configs.schema import Approval
from tasks.records.data import SplitRecord
from tasks.records.decision import Candidate, GateResult, MetricSet, Promotion, Verdict
from tasks.records.model import ModelRef
from tasks.release.approval import evaluate_approval, refusal
from tasks.release.promotion import approval_request, decide_promotion
from tasks.stores.state.approvals import ApprovalRequest

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
LATE = NOW + timedelta(hours=72, seconds=1)
ASKED = Approval(required=True)
FOUR_EYES = Approval(required=True, four_eyes=True)


def request(**answer: Any) -> ApprovalRequest:
    made = approval_request("demand", 7, 3, 2, "trainer", NOW, NOW + timedelta(hours=72))
    return made.model_copy(update={"at": NOW, **answer} if "decision" in answer else answer)


APPROVED = request(decision="approve", by="ana", verified=True, reason="good")
UNPROVEN = request(decision="approve", by="ana", verified=False, reason="good")
REJECTED = request(decision="reject", by="ana", reason="bad")


def candidate(*, passed: bool = True, champion: int | None = 2) -> Candidate:
    gate = GateResult(code="Q02", title="against", severity="block", outcome="pass" if passed else "fail", reason="mae")
    model = ModelRef(
        pipeline="demand",
        run_id="r",
        model_uri="m",
        folder="f",
        recipe="c",
        training="t",
        columns={"x": Column(type="number")},
        dataset_digest="d",
        through_seq=1,
        labelled=10,
        train_rows=8,
        newest_event=None,
        split=SplitRecord(kind="random", holdout=0.2),
    )
    metrics = MetricSet(rows=2, values={"mae": 1.0})
    verdict = Verdict(
        passed=passed,
        gates=(gate,),
        metrics=metrics,
        baseline=metrics,
        champion_version=champion,
        champion_metrics=None,
        primary="mae",
        comparison=None,
    )
    return Candidate(model=model, verdict=verdict, evaluation="e", recipes={})


@pytest.mark.parametrize(
    ("rules", "decision", "by", "verified", "refused"),
    [
        (ASKED, "approve", "trainer", False, ""),
        (ASKED, "reject", "trainer", False, ""),
        (FOUR_EYES, "reject", "trainer", False, ""),
        (FOUR_EYES, "approve", "ana", True, ""),
        (FOUR_EYES, "approve", "ana", False, "personal token"),
        (FOUR_EYES, "approve", "trainer", True, "another person"),
        (FOUR_EYES, "approve", "TRAINER", True, "another person"),
    ],
)
def test_who_may_answer(rules: Approval, decision: Any, by: str, verified: bool, refused: str) -> None:
    told = refusal(rules, decision, by, "trainer", verified=verified)
    assert bool(told) == bool(refused)
    assert refused in told


@pytest.mark.parametrize(
    ("rules", "one", "now", "outcome", "reason"),
    [
        (ASKED, APPROVED, NOW, "pass", "approved by ana (by personal token) on 2026-01-05 12:00 UTC: good"),
        (ASKED, UNPROVEN, LATE, "pass", "approved by ana (identity not verified)"),
        (ASKED, REJECTED, NOW, "fail", "rejected by ana (identity not verified) on 2026-01-05 12:00 UTC: bad"),
        (ASKED, request(), LATE, "fail", "no decision by 2026-01-08 12:00 UTC"),
        (ASKED, request(superseded_by=4), NOW, "fail", "superseded by version 4"),
        (ASKED, request(), NOW, "not_applicable", "perennial approve demand@3 --reason TEXT"),
        (FOUR_EYES, APPROVED, NOW, "pass", "approved by ana"),
        (FOUR_EYES, UNPROVEN, NOW, "fail", "identity is not verified"),
        (FOUR_EYES, APPROVED.model_copy(update={"by": "Trainer"}), NOW, "fail", "another person has to approve"),
    ],
)
def test_gate_a01(rules: Approval, one: ApprovalRequest, now: datetime, outcome: str, reason: str) -> None:
    found = evaluate_approval(rules, one, now)
    assert (found.code, found.outcome) == ("A01", outcome)
    assert reason in found.reason
    assert found.blocks == (outcome != "pass")


def weighed(made: Candidate, champion: int | None, one: ApprovalRequest | None, now: datetime = NOW) -> Promotion:
    return decide_promotion(ASKED, made, 3, champion, one, now)


def test_without_a_request_the_verdict_and_the_champion_decide() -> None:
    assert weighed(candidate(), 2, None) == Promotion(
        outcome="promoted", version=3, champion=3, previous=2, reasons=("Q02: mae",)
    )
    kept = weighed(candidate(), 1, None)
    assert (kept.outcome, kept.champion) == ("kept_champion", 1)
    assert kept.reasons == ("it was compared with champion 2, but now there is champion 1",)


def test_a_version_that_passed_waits_for_the_person() -> None:
    waits = weighed(candidate(), 2, request())
    assert (waits.outcome, waits.champion, waits.approval) == ("awaiting_approval", 2, None)
    assert "waits until 2026-01-08 12:00 UTC for a person" in waits.reasons[0]


@pytest.mark.parametrize(("made", "champion"), [(candidate(passed=False), 2), (candidate(), 1), (candidate(), None)])
def test_nobody_is_asked_about_a_version_that_may_not_be_promoted(made: Candidate, champion: int | None) -> None:
    kept = weighed(made, champion, request())
    assert (kept.outcome, kept.champion, kept.approval) == ("kept_champion", champion, None)
    assert "A01" not in kept.reasons[0]


def test_an_approved_version_is_promoted_with_who_and_why() -> None:
    done = weighed(candidate(), 2, APPROVED, LATE)
    assert (done.outcome, done.champion, done.previous) == ("promoted", 3, 2)
    assert done.reasons[-1].startswith("A01 approval by a person: approved by ana (by personal token)")
    assert done.approval is not None
    assert done.approval.evidence["by"] == "ana"


def test_an_approved_version_is_not_promoted_over_a_champion_it_was_not_held_against() -> None:
    kept = weighed(candidate(champion=2), 5, APPROVED)
    assert (kept.outcome, kept.champion) == ("kept_champion", 5)
    assert kept.reasons[0] == "it was compared with champion 2, but now there is champion 5"
    assert kept.reasons[1].startswith("A01")


@pytest.mark.parametrize("one", [REJECTED, request(superseded_by=4), request(expired=True)])
def test_without_approval_the_champion_stays(one: ApprovalRequest) -> None:
    kept = weighed(candidate(), 2, one)
    assert (kept.outcome, kept.champion) == ("kept_champion", 2)
    assert kept.approval is not None
    assert kept.reasons == (f"A01 approval by a person: {kept.approval.reason}",)


@pytest.mark.parametrize("one", [None, APPROVED])
def test_a_version_that_a_killed_run_made_champion_is_told_as_promoted(one: ApprovalRequest | None) -> None:
    done = weighed(candidate(), 3, one)
    assert (done.outcome, done.champion, done.previous) == ("promoted", 3, 2)
