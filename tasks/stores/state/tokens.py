"""Personal tokens: who answers for what. Only a salted hash of each is kept."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from datetime import UTC, datetime
from typing import NamedTuple

import sqlalchemy as sa

from tasks.errors import UsageError
from tasks.stores.runtime import actor
from tasks.stores.settings import Settings
from tasks.stores.state.database import METADATA, connect

_LONGEST = 100
_NOBODY = (bytes(16), bytes(64))

_tokens = sa.Table(
    "people",
    METADATA,
    sa.Column("id", sa.String(16), primary_key=True),
    sa.Column("person", sa.String(_LONGEST), nullable=False, index=True),
    sa.Column("salt", sa.LargeBinary(16), nullable=False),
    sa.Column("hash", sa.LargeBinary(64), nullable=False),
    sa.Column("made_at", sa.String(40), nullable=False),
    sa.Column("made_by", sa.String(200), nullable=False),
    sa.Column("revoked_at", sa.String(40), nullable=True),
    sa.Column("revoked_by", sa.String(200), nullable=True),
)


class TokenStore:
    """The persons who hold a token, in the state's database. Revoked tokens stay as lines that say by whom and when."""

    def __init__(self, settings: Settings) -> None:
        self._engine = connect(settings)

    def make_token(self, person: str, *, at: datetime, actor: str) -> str:
        """A new token for a person; an older one of the same person is revoked. It can't be read again.

        Raises:
            UsageError: the name is empty, too long or holds characters that can't be printed.
        """
        name = " ".join(person.split())
        if not name or len(name) > _LONGEST or not name.isprintable():
            raise UsageError(f"A person's name: found {person!r}, expected 1 to {_LONGEST} printable characters.")
        key, secret, salt = secrets.token_hex(8), secrets.token_urlsafe(32), secrets.token_bytes(16)
        row = {"id": key, "person": name, "salt": salt, "hash": _hash(secret, salt)}
        with self._engine.begin() as connection:
            connection.execute(self._revocation(name, at, actor))
            connection.execute(sa.insert(_tokens).values(**row, made_at=_text(at), made_by=actor))
        return f"{key}.{secret}"

    def revoke(self, person: str, *, at: datetime, actor: str) -> None:
        """Make a person's token worthless.

        Raises:
            UsageError: the person holds none.
        """
        name = " ".join(person.split())
        with self._engine.begin() as connection:
            revoked = connection.execute(self._revocation(name, at, actor)).rowcount
        if not revoked:
            known = ", ".join(self.holders()) or "nobody"
            raise UsageError(f"{name!r} holds no token. These do: {known}.")

    def holders(self) -> list[str]:
        """Who holds a token, by name."""
        query = sa.select(_tokens.c.person).where(_tokens.c.revoked_at.is_(None)).order_by(_tokens.c.person)
        with self._engine.connect() as connection:
            return list(connection.execute(query).scalars())

    def holder(self, token: str) -> str | None:
        """Whose token it is; None for a wrong or revoked one. An unknown one takes as long as a wrong one."""
        key, _, secret = token.strip().partition(".")
        query = sa.select(_tokens).where((_tokens.c.id == key) & _tokens.c.revoked_at.is_(None))
        with self._engine.connect() as connection:
            row = connection.execute(query).first()
        salt, known = _NOBODY if row is None else (row.salt, row.hash)
        same = hmac.compare_digest(_hash(secret, salt), known)
        return str(row.person) if same and row is not None else None

    def _revocation(self, person: str, at: datetime, actor: str) -> sa.Update:
        held = (_tokens.c.person == person) & _tokens.c.revoked_at.is_(None)
        return sa.update(_tokens).where(held).values(revoked_at=_text(at), revoked_by=actor)


def _hash(secret: str, salt: bytes) -> bytes:
    return hashlib.scrypt(secret.encode(), salt=salt, n=2**14, r=8, p=1)


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat()


class Person(NamedTuple):
    """Who answers, and whether a personal token says so."""

    name: str
    verified: bool


def person(settings: Settings) -> Person:
    """Who runs this command: the holder of the token in PERENNIAL_TOKEN, or, not verified, the actor.

    Raises:
        UsageError: the token is unknown or revoked.
    """
    token = os.environ.get("PERENNIAL_TOKEN", "")
    if not token:
        return Person(actor(), verified=False)
    holder = TokenStore(settings).holder(token)
    if holder is None:
        raise UsageError(
            "PERENNIAL_TOKEN: found a token that nobody holds (wrong, or revoked). "
            "`perennial token NAME` makes a new one; without the variable nothing proves who answers."
        )
    return Person(holder, verified=True)
