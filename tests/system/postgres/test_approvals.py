"""Requests for approval and personal tokens on PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

from tasks.errors import UsageError
from tasks.release.promotion import approval_request
from tasks.stores.settings import Settings
from tasks.stores.state.approvals import Approvals
from tasks.stores.state.tokens import TokenStore

pytestmark = pytest.mark.postgres

AT = datetime(2026, 1, 5, tzinfo=UTC)
Team = Callable[..., Settings]


def test_of_answers_given_at_once_one_holds(team: Team) -> None:
    request = approval_request("demand", 1, 10, None, "trainer", AT, AT + timedelta(hours=1))
    Approvals(team()).put(request)
    together, held = threading.Barrier(8), []

    def answer(number: int) -> None:
        approvals = Approvals(team(f"home-{number}"))
        together.wait()
        with suppress(UsageError):
            held.append(
                approvals.record_decision(
                    request, "approve", by=f"person {number}", verified=True, reason="ok", at=AT
                ).by
            )

    threads = [threading.Thread(target=answer, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = Approvals(team()).of_candidate(1)
    assert found is not None
    assert held == [found.by]


def test_a_newer_request_supersedes_and_an_expired_one_takes_no_answer(team: Team) -> None:
    approvals = Approvals(team())
    older, newer = (
        approval_request("demand", one, one * 10, None, "trainer", AT, AT + timedelta(hours=1)) for one in (1, 2)
    )
    approvals.put(older)
    approvals.put(newer)
    assert [one.version for one in approvals.pending("demand", AT)] == [20]
    with pytest.raises(UsageError, match="superseded by version 20"):
        approvals.record_decision(older, "approve", by="ana", verified=True, reason="ok", at=AT)
    assert approvals.expire(newer).state(AT) == "expired"
    with pytest.raises(UsageError, match="no decision by"):
        approvals.record_decision(newer, "approve", by="ana", verified=True, reason="ok", at=AT)


def test_a_token_tells_its_holder_to_the_whole_team_until_revoked(team: Team) -> None:
    token = TokenStore(team("one")).make_token("ana", at=AT, actor="admin")
    assert TokenStore(team("two")).holder(token) == "ana"
    TokenStore(team("two")).revoke("ana", at=AT, actor="admin")
    assert TokenStore(team("one")).holder(token) is None
