"""What a row is, what must hold for it, and when a file as a whole is refused."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue, StringConstraints

from configs.base import ColumnName, ColumnType, Scalar, Section, Share

FoundType = Literal["text", "integer", "number", "boolean", "date", "timestamp"]
RowPolicy = Literal["accept", "quarantine", "reject"]


class Column(Section):
    """One column of the contract."""

    type: ColumnType = Field(
        description="Type of every value. timestamp: ISO 8601 text or a native timestamp; kept in UTC, microseconds."
    )
    nullable: bool = Field(default=False, description="Whether a value may be missing. If not, such a row is refused.")
    required: bool = Field(
        default=True, description="Whether the file must have the column. If not, an absent column reads as missing."
    )
    unit: str | None = Field(default=None, description="Unit of the values, for people: km, min, EUR, share.")
    description: str | None = Field(default=None, description="What the column means.")
    aliases: tuple[Annotated[str, StringConstraints(min_length=1)], ...] = Field(
        default=(), description="Names that the column had in older files, or has in other ones."
    )
    missing: tuple[Scalar, ...] = Field(
        default=(), description="Values that mean missing in this column, such as -1, 9999 or unknown."
    )
    casts: tuple[FoundType, ...] | None = Field(
        default=None,
        description="Types, other than its own, that the column may have in a file that says types (parquet, feather, "
        "Excel, jsonl): text for timestamps kept as text, integer for numbers without fractions. A file where it is "
        "of yet another one is refused. Left out: every type whose values can be read without loss.",
    )
    allowed: tuple[Scalar, ...] | None = Field(
        default=None, description="The only values allowed. A row with another one goes to quarantine."
    )
    minimum: float | str | None = Field(
        default=None,
        description="Least value allowed, inclusive, in the column's unit; of a timestamp as ISO 8601 text.",
    )
    maximum: float | str | None = Field(
        default=None,
        description="Greatest value allowed, inclusive, in the column's unit; of a timestamp as ISO 8601 text.",
    )
    protected: bool = Field(
        default=False,
        description="Whether it is a protected attribute of people (sex, age, origin). A model must not use it.",
    )


class Policies(Section):
    """What becomes of rows and columns that are neither right nor plainly wrong."""

    unknown_columns: Literal["ignore", "keep", "reject"] = Field(
        default="ignore",
        description="Columns of a file that the contract does not have. ignore: not read. keep: kept as text, by name, "
        "in the column `_extra` of the lake. reject: the file is refused.",
    )
    missing_optional: Literal["accept", "warn", "reject"] = Field(
        default="accept",
        description="A file without a column of `required: false`. accept: it reads as missing. warn: the same, and it "
        "is reported. reject: the file is refused.",
    )
    duplicate_key: Literal["keep_first", "keep_last", "reject"] = Field(
        default="reject",
        description="A row whose key is there already. reject: it goes to quarantine. keep_first: what came first "
        "stays. keep_last: the row with the later event time stays, in whatever order they come; of equal times, "
        "one by a fixed order of their contents. With the last two the other row is recorded as a duplicate.",
    )
    out_of_order: RowPolicy = Field(
        default="accept",
        description="A row whose event time lies before that of a row above it in the file. "
        "accept, quarantine: the row is, reject: the file is.",
    )
    late: RowPolicy = Field(
        default="accept",
        description="A row whose event time lies more than late_after_hours before the newest one that came in with "
        "earlier files. accept, quarantine: the row is, reject: the file is.",
    )
    late_after_hours: float | None = Field(default=None, gt=0, description="Hours from which on a row is late.")
    future: RowPolicy = Field(
        default="accept",
        description="A row whose event time lies after the run's clock. accept, quarantine: the row is, reject: the "
        "file is.",
    )
    future_tolerance_minutes: float = Field(
        default=5.0, ge=0, description="Minutes that an event time may lie after the run's clock: clocks differ."
    )


class Contract(Section):
    """What a row is: its columns, what identifies it, when it happened, what is to be predicted."""

    columns: dict[ColumnName, Column] = Field(min_length=1, description="The columns by name.")
    key: tuple[ColumnName, ...] = Field(
        default=(),
        description="Columns that together identify a row. Left out, rows have no identity beyond their file and line.",
    )
    event_time: ColumnName | None = Field(
        default=None, description="The timestamp column that says when the row happened."
    )
    target: ColumnName = Field(description="The column to predict.")
    timezone: str = Field(
        default="UTC", description="Time zone of timestamps that carry none, by its IANA name (Europe/Berlin)."
    )
    policies: Policies = Field(
        default=Policies(), description="Duplicates, late rows, unknown columns and the like: what becomes of them."
    )


class Expectation(Section):
    """One Great Expectations expectation, by its own name and arguments."""

    type: Annotated[str, StringConstraints(pattern=r"^expect_[a-z0-9_]+$")] = Field(
        description="Name as Great Expectations has it, for example expect_column_values_to_be_between."
    )
    arguments: dict[str, JsonValue] = Field(
        default_factory=dict, description="Its arguments by name, for example {column: load, min_value: 0}."
    )
    severity: Literal["critical", "warning"] = Field(
        default="critical",
        description="critical: rows that fail go to quarantine, and the whole file where the expectation is about the "
        "table or its `mostly` is not reached. warning: reported, nothing is held back.",
    )
    reference: Literal["champion"] | None = Field(
        default=None,
        description="champion: what a distribution is compared with is made of the champion's training data. Only for "
        "expect_column_kl_divergence_to_be_less_than; nothing is checked before there is a champion.",
    )


class Validation(Section):
    """When a file as a whole is refused."""

    max_quarantined_share: Share = Field(
        default=0.5, description="Share of a file's rows (0 to 1) that may be refused before the whole file is."
    )
