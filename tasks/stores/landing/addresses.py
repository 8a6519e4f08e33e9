"""Files given by their address: a local path, or a URL that fsspec reaches."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from tasks.errors import UsageError
from tasks.stores.landing.folder import Landing, is_url, open_landing, path_problem, printable

# What an address may look like as a flow's parameter: Prefect's server refuses others before it keeps them.
PATTERN = r"^([^:]*|/.*|[A-Za-z][A-Za-z0-9+.-]*://[^?#@]*)$"
_CREDENTIAL_CHARACTERS = "?#@"


class Address(NamedTuple):
    """A file, by the place that it lies in.

    Attributes:
        place: The absolute folder, or the URL of what the file lies in.
        name: The file's name there.
    """

    place: str
    name: str

    @property
    def path(self) -> Path | None:
        """The file on a local disk; None where it is elsewhere."""
        return None if is_url(self.place) else Path(self.place, self.name)

    @property
    def ending(self) -> str:
        """What its name ends in, from the last dot on."""
        return PurePosixPath(self.name).suffix

    def landing(self) -> Landing:
        """What reads from its place."""
        return open_landing(self.place)

    def __str__(self) -> str:
        return str(self.path or f"{self.place}/{self.name}")


def parse(text: str, what: str) -> Address:
    """An address as a person writes it.

    Args:
        text: An absolute or relative path, file:///path, or a URL.
        what: What it is the address of, for messages.

    Raises:
        UsageError: it names no file, or carries what may be a secret: parameters of runs are kept and shown.
    """
    if not is_url(text):
        return _local(Path(text), text, what)
    parts = urlsplit(text)
    if any(sign in text for sign in _CREDENTIAL_CHARACTERS) or "::" in text:
        raise UsageError(
            f"{what}: found a URL of {parts.scheme}://{parts.hostname or ''} with a user, a password, a query, a "
            "fragment or '::'; expected one without, as a run's parameters are kept and shown. Put credentials into "
            "the environment, or download the file."
        )
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost"):
            raise UsageError(f"{what}: found the host {parts.netloc!r} in {text}; expected file:///path.")
        return _local(Path(unquote(parts.path)), text, what)
    place, _, name = text.rpartition("/")
    if not name or place.endswith("/") or path_problem(name):
        raise _no_file(text, what)
    return Address(place, name)


def _local(path: Path, text: str, what: str) -> Address:
    if not path.name or "\0" in text or text.endswith("/"):
        raise _no_file(text, what)
    full = path.absolute()
    return Address(str(full.parent), full.name)


def _no_file(text: str, what: str) -> UsageError:
    return UsageError(
        f"{what}: {printable(text)!r} names no file; expected a path, or a URL such as s3://bucket/day.csv."
    )
