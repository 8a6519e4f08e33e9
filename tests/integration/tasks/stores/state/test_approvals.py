"""Requests for approval: one for a candidate, one answer, a deadline, at most one that waits."""

from __future__ import annotations

import contextlib
import threading
from datetime import UTC, datetime, timedelta

import pytest

from tasks.errors import UsageError
from tasks.stores.settings import Settings
from tasks.stores.state.approvals import APPROVAL, ApprovalRequest, Approvals, Decision, audit_close, audit_request
from tasks.stores.state.audit import Audit

START = datetime(2026, 1, 5, 12, tzinfo=UTC)
DEADLINE = START + timedelta(hours=72)
NAME = "demand"


@pytest.fixture
def approvals(settings: Settings) -> Approvals:
    return Approvals(settings)


def request(candidate: int, pipeline: str = NAME, deadline: datetime = DEADLINE) -> ApprovalRequest:
    """A request for version ten times the candidate's number."""
    return ApprovalRequest(
        candidate=candidate,
        pipeline=pipeline,
        version=candidate * 10,
        champion=None,
        requested_by="trainer",
        requested_at=START,
        deadline=deadline,
    )


def kept(approvals: Approvals, candidate: int) -> ApprovalRequest:
    approvals.put(request(candidate))
    found = approvals.of_candidate(candidate)
    assert found is not None
    return found


def give(
    approvals: Approvals, one: ApprovalRequest, decision: Decision, by: str, at: datetime = START
) -> ApprovalRequest:
    return approvals.record_decision(one, decision, by=by, verified=False, reason="because", at=at)


def test_a_request_comes_back_as_it_was_put_also_for_another_connection(settings: Settings) -> None:
    Approvals(settings).put(request(1))
    assert Approvals(settings).of_candidate(1) == request(1)
    assert Approvals(settings).of_version(NAME, 10) == request(1)
    assert Approvals(settings).of_version("other", 10) is None
    assert Approvals(settings).of_candidate(2) is None


def test_putting_a_candidate_again_changes_nothing(approvals: Approvals) -> None:
    answered = give(approvals, kept(approvals, 1), "approve", "ana")
    approvals.put(request(1, deadline=DEADLINE + timedelta(days=9)))
    assert approvals.of_candidate(1) == answered
    assert answered.deadline == DEADLINE


def test_only_what_nobody_answered_in_time_is_pending(approvals: Approvals) -> None:
    one = kept(approvals, 1)
    assert approvals.pending(NAME, START) == [one]
    assert approvals.pending(NAME, DEADLINE) == [one]
    assert approvals.pending(NAME, DEADLINE + timedelta(microseconds=1)) == []
    assert approvals.pending("other", START) == []
    give(approvals, one, "approve", "ana")
    assert approvals.pending(NAME, START) == []


def test_a_newer_request_supersedes_the_older_one_without_an_answer_of_its_own_pipeline(approvals: Approvals) -> None:
    approved = give(approvals, kept(approvals, 1), "approve", "ana")
    waiting = kept(approvals, 2)
    approvals.put(request(3, pipeline="other"))
    newest = kept(approvals, 4)
    assert approvals.pending(NAME, START) == [newest]
    assert [one.candidate for one in approvals.pending("other", START)] == [3]
    assert approvals.of_candidate(1) == approved
    older = approvals.of_candidate(2)
    assert older is not None
    assert (older.state(START), older.describe(START)) == ("superseded", "superseded by version 40")
    with pytest.raises(UsageError, match=r"demand@20 no longer awaits a decision: superseded by version 40"):
        give(approvals, waiting, "approve", "ana")
    approvals.put(request(2))
    assert approvals.pending(NAME, START) == [newest], "an older one that is put again supersedes nothing newer"


def test_the_first_answer_holds_and_the_second_is_told_whose_it_is(approvals: Approvals) -> None:
    one = kept(approvals, 1)
    first = give(approvals, one, "reject", "ana")
    assert (first.state(DEADLINE + timedelta(days=99)), first.by, first.reason) == ("rejected", "ana", "because")
    told = r"rejected by ana \(identity not verified\) on 2026-01-05 12:00 UTC: because. Nothing was changed"
    with pytest.raises(UsageError, match=told):
        give(approvals, one, "approve", "ben")
    assert approvals.of_candidate(1) == first


def test_of_answers_given_at_once_one_holds(settings: Settings) -> None:
    one = kept(Approvals(settings), 1)
    together = threading.Barrier(8)
    held: list[str] = []

    def try_it(number: int) -> None:
        own, by = Approvals(settings), f"person {number}"
        together.wait()
        with contextlib.suppress(UsageError):
            held.append(give(own, one, "approve" if number % 2 else "reject", by).by)

    threads = [threading.Thread(target=try_it, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = Approvals(settings).of_candidate(1)
    assert found is not None
    assert held == [found.by]
    assert found.decision == ("approve" if int(found.by.split()[1]) % 2 else "reject")


def test_after_the_deadline_an_answer_is_refused(approvals: Approvals) -> None:
    one = kept(approvals, 1)
    with pytest.raises(UsageError, match=r"no decision by 2026-01-08 12:00 UTC"):
        give(approvals, one, "approve", "ana", at=DEADLINE + timedelta(seconds=1))
    assert give(approvals, one, "approve", "ana", at=DEADLINE).state(DEADLINE) == "approved"


def test_a_request_closed_as_expired_takes_no_answer_whatever_the_clock_says(approvals: Approvals) -> None:
    one = approvals.expire(kept(approvals, 1))
    assert one.state(START) == "expired"
    assert approvals.pending(NAME, START) == []
    with pytest.raises(UsageError, match=r"no decision by"):
        give(approvals, one, "approve", "ana")


def test_closing_as_expired_leaves_an_answer_that_came_before(approvals: Approvals) -> None:
    one = kept(approvals, 1)
    give(approvals, one, "approve", "ana")
    assert approvals.expire(one).state(DEADLINE + timedelta(days=1)) == "approved"


def test_the_audit_has_each_request_and_its_end_once(settings: Settings, approvals: Approvals) -> None:
    audit = Audit(settings)
    one = kept(approvals, 1)
    for _ in range(2):
        audit_request(audit, one, at=START, actor="worker")
    answered = give(approvals, one, "approve", "ana", at=START + timedelta(hours=1))
    for _ in range(2):
        audit_close(audit, answered, at=START + timedelta(hours=2), actor="worker")
    asked, ended = audit.entries(NAME, APPROVAL)
    assert (asked.phase, asked.actor, asked.details["version"]) == ("intent", "worker", 10)
    assert (ended.phase, ended.actor, ended.intent, ended.at) == ("done", "ana", asked.id, START + timedelta(hours=1))
    assert ended.details == {"version": 10, "decision": "approve", "verified": False}
    assert "because" in ended.reason


def test_the_audit_tells_an_end_without_an_answer_as_abandoned(settings: Settings, approvals: Approvals) -> None:
    audit = Audit(settings)
    one = kept(approvals, 1)
    audit_request(audit, one, at=START, actor="worker")
    audit_close(audit, approvals.expire(one), at=DEADLINE, actor="worker")
    last = audit.entries(NAME, APPROVAL)[-1]
    assert (last.phase, last.actor, last.reason) == (
        "abandoned",
        "worker",
        "no decision by 2026-01-08 12:00 UTC",
    )
