"""Mapping of a file's columns to the contract's."""

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
        positions: Where in the file each of them stands, as far as it is there.
        file_names: The file's names.
        kept: Places of unknown columns that are kept as text, by name.
        unknown: What becomes of unknown columns.
        other_names: Names of the contract that are not to be read: not unknown, either.
        notes: Notes for users: columns renamed, absent, ignored, kept.
    """

    columns: Mapping[str, Column]
    positions: Mapping[str, int]
    file_names: Sequence[str]
    kept: Mapping[str, int]
    unknown: str
    other_names: Collection[str] = ()
    notes: tuple[str, ...] = ()

    def alternatives(self) -> dict[str, str]:
        """Every name that a column of the contract may have in a file, and the column."""
        return {
            name_or_alias: name for name, column in self.columns.items() for name_or_alias in (name, *column.aliases)
        }


def clean(name: str) -> str:
    """A column's name without what surrounds it: blanks, a byte order mark."""
    return name.strip().strip("\ufeff").strip()


def known_names(columns: Mapping[str, Column]) -> set[str]:
    """All names that columns have or had."""
    return {name_or_alias for name, column in columns.items() for name_or_alias in (name, *column.aliases)}


def match_columns(
    file_names: Sequence[str],
    columns: Mapping[str, Column],
    policies: Policies,
    other_names: Collection[str] = (),
    hint: str = "",
) -> Fields:
    """Map a file's columns to the contract's.

    Args:
        file_names: The file's names.
        columns: What is to be read.
        policies: What becomes of unknown and of missing ones.
        other_names: Further names of the contract.
        hint: What to add where columns are missing.

    Raises:
        DataRejectedError: columns are missing, ambiguous, or unknown where that is not allowed.
    """
    names = [clean(one) for one in file_names]
    positions = _positions(names, columns)
    missing = [name for name, column in columns.items() if column.required and name not in positions]
    if missing:
        found_names = _join_names([name for name in names if name], 40) or "no names"
        raise DataRejectedError(
            f"columns missing: {', '.join(missing)}; found: {found_names}."
            f"{hint or _suggestion(missing, names, columns)}"
        )
    absent = [name for name in columns if name not in positions and not name.startswith("_")]
    if absent and policies.missing_optional == "reject":
        raise DataRejectedError(
            f"optional columns missing: {_join_names(absent)}; contract.policies.missing_optional is 'reject'"
        )
    known = known_names(columns) | set(other_names)
    unknown = {name: place for place, name in enumerate(names) if name and name not in known}
    if unknown and policies.unknown_columns == "reject":
        raise unknown_columns_error(list(unknown))
    kept = unknown if policies.unknown_columns == "keep" else {}
    _check_unique([name for name in names if name in kept])
    renamed = [f"{names[place]} as {name}" for name, place in positions.items() if names[place] != name]
    notes = (
        *_note("renamed", renamed),
        *_note("warning: absent" if policies.missing_optional == "warn" else "absent, read as missing", absent),
        *_note("kept as text" if kept else "ignored", list(unknown)),
    )
    return Fields(columns, positions, names, kept, policies.unknown_columns, other_names, notes)


def unknown_columns_error(names: Sequence[str]) -> DataRejectedError:
    """Return the error of a file with unknown columns."""
    return DataRejectedError(
        f"unknown columns: {_join_names(names)}; contract.policies.unknown_columns is 'reject'. Add them to "
        "contract.columns, or set the policy to ignore or keep."
    )


def duplicate_column_error(name: str, file_names: Sequence[str]) -> DataRejectedError:
    """Return the error of a file with two columns for the same contract column."""
    return DataRejectedError(f"columns {' and '.join(file_names)} both mean {name}; expected one of them")


def _positions(names: Sequence[str], columns: Mapping[str, Column]) -> dict[str, int]:
    positions: dict[str, int] = {}
    _check_unique([name for name in names if name in known_names(columns)])
    for name, column in columns.items():
        matches = [candidate for candidate in (name, *column.aliases) if candidate in names]
        if len(matches) > 1:
            raise duplicate_column_error(name, matches)
        if matches:
            positions[name] = names.index(matches[0])
    return positions


def _check_unique(names: Sequence[str]) -> None:
    repeated = sorted(name for name, count in Counter(names).items() if count > 1)
    if repeated:
        raise DataRejectedError(f"columns appear twice: {_join_names(repeated)}; expected each once")


def _suggestion(missing: Sequence[str], names: Sequence[str], columns: Mapping[str, Column]) -> str:
    """Suggest aliases for missing columns."""
    by_letters = {_alphanumeric(name): name for name in names if name}
    for name in missing:
        for alias in (name, *columns[name].aliases):
            if _alphanumeric(alias) in by_letters:
                file_name = by_letters[_alphanumeric(alias)]
                return f" If {_printable(file_name)} means {name}, add it to contract.columns.{name}.aliases."
    if by_letters.keys().isdisjoint(_alphanumeric(name) for name in known_names(columns)):
        return ""  # none fits: it is a file of another kind
    return f" If one of them has another name in the file, add that name to contract.columns.{missing[0]}.aliases."


def _alphanumeric(name: str) -> str:
    return "".join(character for character in name.casefold() if character.isalnum())


def _printable(name: str) -> str:
    """A name with all that can't be seen in it: line ends, blanks of no width."""
    return name if name.isprintable() else repr(name)


def _note(label: str, names: Sequence[str]) -> tuple[str, ...]:
    return (f"{label}: {_join_names(names)}",) if names else ()


def _join_names(names: Sequence[str], limit: int = _SHOWN) -> str:
    shown = ", ".join(_printable(name[:60]) for name in names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"
