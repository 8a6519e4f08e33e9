"""How a pipeline's predictions are served, and how a new version comes to serve them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from configs.base import ColumnName, Section, Share


class PredictionLogConfig(Section):
    """What the service keeps of each request, in the lake's table `served`."""

    sample: Share = Field(
        default=1.0,
        description="Share of the requests that is kept (0 to 1), chosen by the key so that a key is kept always or "
        "never. During a rollout all that the new version is asked is kept: it is evaluated on that.",
    )
    inputs: bool = Field(default=True, description="Whether the inputs are kept beside the key and the prediction.")
    leave_out: tuple[ColumnName, ...] = Field(
        default=(), description="Columns that are never kept, such as what tells of persons. Never a column of the key."
    )


class Serving(Section):
    """What the prediction service takes of this pipeline's callers."""

    enabled: bool = Field(default=True, description="Whether the service serves this pipeline.")
    max_rows: int = Field(default=10_000, ge=1, description="Most rows of one request; more are refused.")
    unknown_category: Literal["reject", "missing", "accept"] = Field(
        default="reject",
        description="A value that is none of a column's `allowed`. reject: the request is refused. missing: it counts "
        "as missing, where the column may be. accept: the model sees it.",
    )
    out_of_range: Literal["reject", "accept"] = Field(
        default="reject",
        description="A value below a column's minimum or above its maximum. reject: the request is refused. accept: "
        "the model sees it.",
    )
    log: PredictionLogConfig = Field(default=PredictionLogConfig(), description="What is kept of each request.")


class Shadow(Section):
    """The new version answers beside the champion; its answers are kept and not returned."""

    kind: Literal["shadow"] = Field(description="Answers are logged, not returned.")
    requests: int = Field(default=200, ge=1, description="Rows that it must have answered before the step ends.")
    minutes: float = Field(default=0.0, ge=0.0, description="Minutes that the step lasts at least.")


class Canary(Section):
    """The new version answers a share of the traffic: always the same keys."""

    kind: Literal["canary"] = Field(description="A share of the traffic gets its answers.")
    share: float = Field(gt=0.0, lt=1.0, description="Share of the keys (0 to 1) that it answers.")
    requests: int = Field(default=200, ge=1, description="Rows that it must have answered before the step ends.")
    minutes: float = Field(default=0.0, ge=0.0, description="Minutes that the step lasts at least.")


RolloutStep = Annotated[Shadow | Canary, Field(discriminator="kind")]


class RolloutChecks(Section):
    """What moves a new version back at once."""

    max_error_share: Share = Field(
        default=0.01,
        description="Share of its rows (0 to 1) that it may fail: no answer, none in time, or one that is no number. "
        "Beyond it by a 95 % interval, it is moved back.",
    )
    max_latency_ratio: float = Field(
        default=2.0, gt=0.0, description="Its median time for a prediction over that of the champion for the same rows."
    )
    latency_floor_ms: float = Field(
        default=5.0,
        ge=0.0,
        description="Milliseconds of a prediction below which it is never too slow, whatever the champion takes.",
    )
    max_shift: float = Field(
        default=0.5,
        gt=0.0,
        description="How far its predictions may lie from the champion's for the same rows: Wasserstein distance in "
        "standard deviations of the champion's predictions (numbers), Jensen-Shannon distance (classes).",
    )
    min_rows: int = Field(default=30, ge=2, description="Rows from which on latency and predictions are compared.")
    min_labels: int = Field(
        default=50, ge=10, description="Rows with a label from which on the primary metric is compared, too."
    )


class RolloutPlan(Section):
    """How a version that passed its gates, and was approved where a person is asked, becomes champion."""

    steps: tuple[RolloutStep, ...] = Field(
        default=(), description="The steps in their order; none: it becomes champion at once. So does the first model."
    )
    over: Literal["requests", "observations"] = Field(
        default="requests",
        description="What it is watched on. requests: what the service is asked. observations: for a pipeline without "
        "a service, the newest accepted rows are scored by both versions and compared, once a step.",
    )
    checks: RolloutChecks = Field(default=RolloutChecks(), description="What moves it back at once.")
    deadline_hours: float = Field(
        default=72.0,
        gt=0.0,
        le=8760.0,
        description="Hours for all steps together. Too few requests by then tell nothing: it is moved back.",
    )
    look_seconds: float = Field(
        default=5.0, ge=0.2, le=3600.0, description="Seconds between two looks at the records of a rollout."
    )
