"""What every section of a pipeline's YAML shares: strictness, and the types of names and values."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

ColumnName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,127}$")]
ImportPath = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$")]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
ColumnType = Literal["string", "integer", "number", "boolean", "timestamp"]
Scalar = str | int | float | bool


class Section(BaseModel):
    """A part of the configuration: immutable, strictly typed, unknown fields refused."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)
