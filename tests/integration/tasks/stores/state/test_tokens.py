"""Personal tokens: they prove who holds them, until revoked, and can't be read from the state."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tasks.errors import UsageError
from tasks.stores.settings import Settings
from tasks.stores.state.tokens import TokenStore

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)


@pytest.fixture
def people(settings: Settings) -> TokenStore:
    return TokenStore(settings)


def make(people: TokenStore, name: str) -> str:
    return people.make_token(name, at=NOW, actor="admin")


def test_a_token_tells_its_holder(people: TokenStore) -> None:
    ana, ben = make(people, "ana"), make(people, "ben")
    assert ana != ben
    assert people.holder(ana) == "ana"
    assert people.holder(f" {ben}\n") == "ben"
    assert people.holders() == ["ana", "ben"]


def test_nothing_else_is_taken_for_a_token(people: TokenStore) -> None:
    ana, ben = make(people, "ana"), make(people, "ben")
    mixed = f"{ana.partition('.')[0]}.{ben.partition('.')[2]}"
    for wrong in ("", ".", "x", "ana", ana[:-1], f"{ana}x", ana.partition(".")[0] + ".", mixed, ana.upper(), "ü.ü"):
        assert people.holder(wrong) is None, wrong


def test_a_revoked_token_is_worth_nothing_and_the_others_stay(people: TokenStore) -> None:
    ana, ben = make(people, "ana"), make(people, "ben")
    people.revoke(" ana ", at=NOW, actor="admin")
    assert people.holder(ana) is None
    assert people.holder(ben) == "ben"
    with pytest.raises(UsageError, match=r"'ana' holds no token. These do: ben"):
        people.revoke("ana", at=NOW, actor="admin")


def test_a_new_token_of_a_person_revokes_the_old_one(people: TokenStore) -> None:
    old, new = make(people, "ana"), make(people, "ana")
    assert people.holder(old) is None
    assert people.holder(new) == "ana"
    assert people.holders() == ["ana"]


def test_the_secret_is_nowhere_in_the_state(settings: Settings, people: TokenStore) -> None:
    made = make(people, "ana")
    secret = made.partition(".")[2].encode()
    files = [path for path in settings.state.rglob("*") if path.is_file()]
    assert files
    assert all(secret not in path.read_bytes() for path in files)
    assert any(b"ana" in path.read_bytes() for path in files)


@pytest.mark.parametrize("name", ["", "  ", "x" * 101, "a\x00b"])
def test_a_name_that_is_none_is_refused(people: TokenStore, name: str) -> None:
    with pytest.raises(UsageError, match=r"expected 1 to 100 printable characters"):
        make(people, name)
