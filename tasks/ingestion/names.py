"""Which column of a file is which of the contract's, and what becomes of the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from configs.contract import Column, Policies
from tasks.errors import DataRejectedError

_SHOWN = 10


@dataclass(frozen=True)
class Fields:
    """A file's columns, matched.

    Attributes:
        columns: What is to be read: the contract's columns by name.
        places: Where in the file each of them stands, as far as it is there.
        found: The file's names.
        kept: Places of unknown columns that are kept as text, by name.
        unknown: What becomes of unknown columns.
        others: Names of the contract that are not to be read: not unknown, either.
        notes: What a person should know: columns renamed, absent, ignored, kept.
    """

    columns: Mapping[str, Column]
    places: Mapping[str, int]
    found: Sequence[str]
    kept: Mapping[str, int]
    unknown: str
    others: Collection[str] = ()
    notes: tuple[str, ...] = ()

    def alternatives(self) -> dict[str, str]:
        """Every name that a column of the contract may have in a file, and the column."""
        return {each: name for name, column in self.columns.items() for each in (name, *column.aliases)}


def clean(name: str) -> str:
    """A column's name without what surrounds it: blanks, a byte order mark."""
    return name.strip().strip("\ufeff").strip()


def known_names(columns: Mapping[str, Column]) -> set[str]:
    """All names that columns have or had."""
    return {each for name, column in columns.items() for each in (name, *column.aliases)}


def match(
    found: Sequence[str],
    columns: Mapping[str, Column],
    policies: Policies,
    others: Collection[str] = (),
    hint: str = "",
) -> Fields:
    """Which column of a file is which of the contract's.

    Args:
        found: The file's names.
        columns: What is to be read.
        policies: What becomes of unknown and of missing ones.
        others: Further names of the contract.
        hint: What to add where columns are missing.

    Raises:
        DataRejectedError: columns are missing, stand twice, or are unknown where that is not allowed.
    """
    names = [clean(one) for one in found]
    places = _places(names, columns)
    missing = [name for name, column in columns.items() if column.required and name not in places]
    if missing:
        found_names = _shown([name for name in names if name], 40) or "no names"
        raise DataRejectedError(
            f"columns missing: {', '.join(missing)}; found: {found_names}.{hint or _meant(missing, names, columns)}"
        )
    absent = [name for name in columns if name not in places and not name.startswith("_")]
    if absent and policies.missing_optional == "reject":
        raise DataRejectedError(
            f"optional columns missing: {_shown(absent)}; contract.policies.missing_optional is 'reject'"
        )
    known = known_names(columns) | set(others)
    unknown = {name: place for place, name in enumerate(names) if name and name not in known}
    if unknown and policies.unknown_columns == "reject":
        raise unknown_refused(list(unknown))
    kept = unknown if policies.unknown_columns == "keep" else {}
    _refuse_repeated([name for name in names if name in kept])
    renamed = [f"{names[place]} as {name}" for name, place in places.items() if names[place] != name]
    notes = (
        *_note("renamed", renamed),
        *_note("warning: absent" if policies.missing_optional == "warn" else "absent, read as missing", absent),
        *_note("kept as text" if kept else "ignored", list(unknown)),
    )
    return Fields(columns, places, names, kept, policies.unknown_columns, others, notes)


def unknown_refused(names: Sequence[str]) -> DataRejectedError:
    """The refusal of a file with unknown columns."""
    return DataRejectedError(
        f"unknown columns: {_shown(names)}; contract.policies.unknown_columns is 'reject'. Add them to "
        "contract.columns, or set the policy to ignore or keep."
    )


def twice(name: str, found: Sequence[str]) -> DataRejectedError:
    """The refusal of a file where columns of two names mean the same one."""
    return DataRejectedError(f"columns {' and '.join(found)} both mean {name}; expected one of them")


def _places(names: Sequence[str], columns: Mapping[str, Column]) -> dict[str, int]:
    places: dict[str, int] = {}
    _refuse_repeated([name for name in names if name in known_names(columns)])
    for name, column in columns.items():
        hits = [one for one in (name, *column.aliases) if one in names]
        if len(hits) > 1:
            raise twice(name, hits)
        if hits:
            places[name] = names.index(hits[0])
    return places


def _refuse_repeated(names: Sequence[str]) -> None:
    repeated = sorted(name for name, count in Counter(names).items() if count > 1)
    if repeated:
        raise DataRejectedError(f"columns stand twice: {_shown(repeated)}; expected each once")


def _meant(missing: Sequence[str], names: Sequence[str], columns: Mapping[str, Column]) -> str:
    """What to do about missing columns: name those of the file that are likely meant."""
    letters = {_letters(name): name for name in names if name}
    for name in missing:
        for one in (name, *columns[name].aliases):
            if _letters(one) in letters:
                meant = letters[_letters(one)]
                return f" If {_seen(meant)} means {name}, add it to contract.columns.{name}.aliases."
    if letters.keys().isdisjoint(_letters(name) for name in known_names(columns)):
        return ""  # none fits: it is a file of another kind
    return f" If one has another name there, add that to contract.columns.{missing[0]}.aliases."


def _letters(name: str) -> str:
    return "".join(one for one in name.casefold() if one.isalnum())


def _seen(name: str) -> str:
    """A name with all that can't be seen in it: line ends, blanks of no width."""
    return name if name.isprintable() else repr(name)


def _note(what: str, names: Sequence[str]) -> tuple[str, ...]:
    return (f"{what}: {_shown(names)}",) if names else ()


def _shown(names: Sequence[str], most: int = _SHOWN) -> str:
    shown = ", ".join(_seen(name[:60]) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
