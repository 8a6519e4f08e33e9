"""Where a pipeline's files come from, how they are written, and how large they may be."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from configs.base import Section

Format = Literal["csv", "parquet", "jsonl", "feather", "excel"]
Compression = Literal["none", "gzip", "zstd", "zip"]
# What the ending of a file's name says of it.
ENDINGS: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".feather": "feather",
    ".arrow": "feather",
    ".xlsx": "excel",
}
COMPRESSIONS: dict[str, Compression] = {".gz": "gzip", ".zst": "zstd", ".zip": "zip"}
MISSING_TEXTS = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "None")


class Limits(Section):
    """The most that is taken of one file. Beyond, it is refused as a whole, and says which limit it broke."""

    file_bytes: int = Field(default=64 << 30, ge=1, description="Greatest size of a file as it landed, in bytes.")
    decompressed_bytes: int = Field(
        default=256 << 30, ge=1, description="Greatest size of a compressed file once decompressed, in bytes."
    )
    ratio: float = Field(
        default=250.0,
        gt=1.0,
        description="Greatest ratio of decompressed to compressed size. Counts once 16 MiB are decompressed.",
    )
    rows: int = Field(default=1_000_000_000, ge=1, description="Greatest number of rows.")
    columns: int = Field(default=4096, ge=1, description="Greatest number of columns, known or unknown.")
    row_bytes: int = Field(
        default=4 << 20, ge=1024, le=1 << 30, description="Greatest size of one row of text (csv, jsonl), in bytes."
    )
    nesting: int = Field(default=32, ge=1, le=500, description="Greatest depth of objects and lists in jsonl.")


class SqlQuery(Section):
    """Rows of a database, fetched by a watermark: each run takes what came after the last one, as a file that lands."""

    connection: Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_]*$")] = Field(
        description="Name of the environment variable that holds the database's SQLAlchemy address."
    )
    query: str = Field(
        min_length=1, description="A SELECT with the contract's columns and the watermark, without ORDER BY."
    )
    watermark: str = Field(
        min_length=1, description="Column that only grows: a serial number, or the time of the row's last change."
    )
    lag_seconds: float = Field(
        default=0.0,
        ge=0.0,
        description="For a watermark in time: rows younger than this are left for a later run, so that transactions "
        "which are still open are not skipped.",
    )
    max_rows: int = Field(default=5_000_000, ge=1, description="Greatest number of rows in one file; more make more.")


class Source(Section):
    """Where files land and how their text is written."""

    landing: str = Field(
        min_length=1,
        description="Folder that files land in, or a URL that fsspec reaches, such as s3://bucket/folder, without "
        "credentials. A relative path is below PERENNIAL_HOME/landing.",
    )
    ready: Literal["stable", "marker"] = Field(
        default="stable",
        description="When a file is complete. stable: once nothing writes to it any more. "
        "marker: once an empty file of its name and the marker's ending stands beside it.",
    )
    stable_seconds: float = Field(
        default=1.0,
        ge=0.0,
        le=3600.0,
        description="Seconds that the sensor sees a file's size and time unchanged before it tells of the file. One "
        "that was renamed into the folder is reported at once; those of object stores are always complete.",
    )
    marker: str = Field(
        default=".ready", min_length=1, description="Ending of marker files: day.csv.ready says day.csv is complete."
    )
    pattern: str = Field(
        default="*", description="Glob that a file's name must match. Names that start with a dot or '_' never do."
    )
    format: Format | None = Field(
        default=None,
        description="File format. Left out, the file's ending tells, before .gz, .zst or .zip: .csv, .tsv, .parquet, "
        ".jsonl, .ndjson, .feather, .arrow, .xlsx.",
    )
    compression: Compression | None = Field(
        default=None,
        description="How files are compressed. Left out, the ending tells: .gz, .zst, .zip (one file in it).",
    )
    delimiter: Annotated[str, StringConstraints(min_length=1, max_length=1)] | None = Field(
        default=None,
        description="One character between csv fields. Left out, it is found: the one of , ; tab | under which the "
        "header has most of the contract's names.",
    )
    encoding: str | None = Field(
        default=None,
        description="Text encoding of csv and jsonl files, by Python's name for it. Left out, a byte order mark tells; "
        "without one it must be UTF-8.",
    )
    decimal: Literal[".", ","] | None = Field(
        default=None, description="Decimal mark in csv numbers. Left out, it is found in the first rows."
    )
    quote: Literal['"', "'", "none"] | None = Field(
        default=None, description='What csv fields are quoted with. Left out, it is found in the header; else ".'
    )
    sheet: str | None = Field(default=None, description="Sheet of an Excel file. Left out, the first one.")
    missing: tuple[str, ...] = Field(
        default=MISSING_TEXTS, description="Texts that mean a missing value, in every column of a csv or Excel file."
    )
    sql: SqlQuery | None = Field(
        default=None, description="A database to fetch rows from. They land in `landing`, which must be a folder."
    )
    limits: Limits = Field(default=Limits(), description="The most that is taken of one file.")


class LabelSource(Source):
    """Where labels land when they come later than the observations: files with the key columns and the target."""
