"""What a pipeline's YAML may say: strict, frozen, nothing unknown, meaning and units on every field."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue, StringConstraints

from configs.base import ColumnName, ImportPath, Section, Share
from configs.contract import Column, Contract, Expectation, Validation
from configs.serving import RolloutPlan, Serving
from configs.source import LabelSource, Source

CalendarPart = Literal["hour", "weekday", "day", "month", "day_of_year", "is_weekend", "hour_of_week", "elapsed_days"]

Metric = Literal["mae", "rmse", "r2", "log_loss", "accuracy", "balanced_accuracy", "f1_macro", "roc_auc", "brier"]
REGRESSION_METRICS: tuple[Metric, ...] = ("mae", "rmse", "r2")
CLASSIFICATION_METRICS: tuple[Metric, ...] = (
    "log_loss",
    "accuracy",
    "balanced_accuracy",
    "f1_macro",
    "roc_auc",
    "brier",
)


class CustomFeature(Section):
    """Any scikit-learn-compatible transformer over some columns."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")] = Field(
        description="Name of the step; its outputs carry it as a prefix."
    )
    transformer: ImportPath = Field(description="Import path of the transformer's class.")
    columns: tuple[ColumnName, ...] = Field(min_length=1, description="Columns it is given, in this order.")
    parameters: dict[str, JsonValue] = Field(default_factory=dict, description="Arguments of the class, by name.")


class Features(Section):
    """The feature row, built inside the model's own scikit-learn Pipeline."""

    numeric: tuple[ColumnName, ...] = Field(
        default=(), description="Columns used as numbers; missing values become the training median."
    )
    categorical: tuple[ColumnName, ...] = Field(
        default=(), description="Columns used as categories; unseen and missing values are categories of their own."
    )
    encoding: Literal["onehot", "ordinal"] = Field(
        default="onehot", description="How categories become numbers: one column each, or one integer code (trees)."
    )
    scale: bool = Field(
        default=False, description="Whether numeric columns are standardised to mean 0, deviation 1 (linear models)."
    )
    calendar: tuple[CalendarPart, ...] = Field(
        default=(), description="Parts of the event time (UTC). weekday: Monday is 0. elapsed_days: since 1970-01-01."
    )
    custom: tuple[CustomFeature, ...] = Field(default=(), description="Further transformers by import path.")


class TimeSplit(Section):
    """The newest rows by event time are the holdout."""

    kind: Literal["time"] = Field(description="Split by event time.")
    holdout: Annotated[float, Field(gt=0.0, lt=1.0)] = Field(
        default=0.2, description="Share of the labelled rows, the newest, that is held out (0 to 1)."
    )


class RandomSplit(Section):
    """Rows are held out by a stable hash of their key: once held out, always held out."""

    kind: Literal["random"] = Field(description="Split by the key's hash.")
    holdout: Annotated[float, Field(gt=0.0, lt=1.0)] = Field(
        default=0.2, description="Share of the keys that is held out (0 to 1)."
    )


class GroupSplit(Section):
    """Whole groups are held out by a stable hash of the group's value."""

    kind: Literal["group"] = Field(description="Split by the hash of a group column.")
    column: ColumnName = Field(description="Column whose values are the groups.")
    holdout: Annotated[float, Field(gt=0.0, lt=1.0)] = Field(
        default=0.2, description="Share of the groups that is held out (0 to 1)."
    )


Split = Annotated[TimeSplit | RandomSplit | GroupSplit, Field(discriminator="kind")]


class Training(Section):
    """The estimator and its parameters."""

    estimator: ImportPath = Field(
        description="Import path of a scikit-learn-compatible class, for example sklearn.linear_model.Ridge."
    )
    parameters: dict[str, JsonValue] = Field(
        default_factory=dict,
        description="Its arguments by name. random_state and n_jobs are set by Perennial. An argument that is an "
        "estimator is written {estimator: import path, parameters: its arguments}: so a search names what it tunes.",
    )
    threads: int = Field(
        default=2,
        ge=1,
        le=1024,
        description="Most threads that BLAS and OpenMP may use while it is fitted; fewer where the machine, or "
        "OMP_NUM_THREADS, has fewer. The number used is recorded, and `perennial reproduce` uses it again: linear fits "
        "differ by it. With two, what threads sum up does not depend on which is done first; with more it can, so that "
        "two fits may differ in the last digit. HistGradientBoosting came out the same with 1, 2, 3 and 8.",
    )
    trusted_types: tuple[ImportPath, ...] = Field(
        default=(),
        description="Types in the fitted model, beyond Perennial's audited list, that your review found safe to load.",
    )


class Bound(Section):
    """An absolute limit for a metric."""

    metric: Metric = Field(description="The metric, in its natural sign and unit.")
    minimum: float | None = Field(default=None, description="Least value that passes, in the metric's unit.")
    maximum: float | None = Field(default=None, description="Greatest value that passes, in the metric's unit.")


class Comparison(Section):
    """How a candidate is compared with the champion on the same holdout rows (gate Q02)."""

    mode: Literal["superiority", "non_inferiority"] = Field(
        default="superiority",
        description="superiority: the improvement's interval must lie above the margin. "
        "non_inferiority: it must lie above minus the margin; the first model must beat the baseline all the same.",
    )
    margin: float = Field(
        default=0.0, ge=0.0, description="Margin in the unit of the primary metric; improvement counts as positive."
    )
    confidence: float = Field(default=0.95, gt=0.5, lt=1.0, description="Confidence of the two-sided interval.")
    resamples: int = Field(default=1000, ge=100, le=20000, description="Number of bootstrap resamples.")
    unit: Literal["row", "day", "group"] = Field(
        default="row",
        description="What is drawn: rows; whole days of event time, where errors of one day hang together; or the "
        "groups of a group split.",
    )
    min_rows: int = Field(
        default=50, ge=2, description="Least number of holdout rows, unseen by both models, to compare on."
    )


class Evaluation(Section):
    """What is measured and what must be reached."""

    primary: Metric = Field(description="The metric that decides between candidate and champion.")
    bounds: tuple[Bound, ...] = Field(default=(), description="Absolute limits on the holdout (gate Q01).")
    comparison: Comparison = Field(default=Comparison(), description="How candidate and champion are compared (Q02).")


class Compliance(Section):
    """Policy rules a candidate must keep (gate P01)."""

    environment: Literal["development", "production"] = Field(
        default="production", description="production: a broken rule blocks. development: it warns."
    )
    banned_features: tuple[ColumnName, ...] = Field(
        default=(), description="Columns no model may use: leaks of the target, or not lawful to use."
    )
    min_training_rows: int = Field(default=100, ge=1, description="Least number of training rows.")
    max_data_age_days: float | None = Field(
        default=None, gt=0, description="Greatest age of the newest training row at the run's clock, in days."
    )
    allowed_estimators: tuple[ImportPath, ...] | None = Field(
        default=None, description="The only estimators allowed, by import path. Left out: any."
    )


class Retrain(Section):
    """When new data leads to a new model. Nothing here trains by itself: the flow decides by it, and records why."""

    new_rows: int = Field(default=1, ge=1, description="New labelled rows since the last training that make it due.")
    new_share: Share = Field(
        default=0.0, description="New labelled rows as a share of those trained on last (0 to 1) that must be reached."
    )
    max_age_days: float | None = Field(
        default=None,
        gt=0.0,
        description="Days since the last training after which any new labelled row makes it due; by default none.",
    )
    on_drift: bool = Field(default=True, description="Whether a drift verdict `act` makes it due whatever the rows.")
    on_degraded: bool = Field(
        default=True, description="Whether a performance verdict `act` makes it due whatever the rows."
    )


class Performance(Section):
    """How much worse than on its holdout the champion may get, once labels have come for what it predicted."""

    tolerance: float = Field(
        default=0.2,
        ge=0.0,
        le=10.0,
        description="How much worse the primary metric may be than on the holdout when the champion was evaluated, as "
        "a share of that (0.2: an error 20 % higher, an accuracy 20 % lower). The verdict is act where the metric's "
        "interval lies wholly beyond; confidence, resamples and unit are those of evaluation.comparison.",
    )
    min_rows: int = Field(
        default=100, ge=10, description="Fewer predicted rows with a label than this: verdict unknown."
    )


class Monitoring(Section):
    """How newest batches are compared with what the champion was trained on, and its predictions against labels."""

    window_batches: int = Field(
        default=7,
        ge=1,
        description="Newest accepted batches that make the current window; for performance, the newest with labels.",
    )
    sample_rows: int = Field(
        default=5000, ge=100, le=100_000, description="Greatest number of rows drawn (seeded) from each side."
    )
    min_rows: int = Field(default=100, ge=10, description="Fewer rows than this on either side: verdict unknown.")
    warn_effect: float = Field(
        default=0.1,
        gt=0,
        description="Effect size that counts as drift of a column: Wasserstein distance in standard deviations of the "
        "reference (numbers) or Jensen-Shannon distance (categories).",
    )
    act_share: Share = Field(
        default=0.3, description="Share of the watched columns (0 to 1) in drift from which the verdict is act."
    )
    act_effect: float = Field(
        default=0.5, gt=0, description="Effect size of any one column from which the verdict is act."
    )
    significance: float = Field(
        default=0.05, gt=0, lt=1, description="Family-wise error rate over all watched columns (Holm's correction)."
    )
    ignore: tuple[ColumnName, ...] = Field(default=(), description="Feature columns not watched for drift.")
    performance: Performance = Field(
        default=Performance(), description="How the champion's predictions are compared with labels that came since."
    )


class Approval(Section):
    """Whether a person must approve a version that passed every gate (gate A01)."""

    required: bool = Field(default=False, description="Whether a version becomes champion only once a person approved.")
    deadline_hours: float = Field(
        default=72.0, gt=0, le=8760, description="Hours a person has to answer. Nobody did: the champion stays."
    )
    four_eyes: bool = Field(
        default=False,
        description="Whether who approves must prove by a personal token to be another than who put it forward.",
    )


class Upkeep(Section):
    """How the lake is kept: what the nightly upkeep may merge and free."""

    keep_days: float = Field(
        default=30.0,
        ge=0.0,
        description="Days for which a version of a table stays readable once another has replaced it. Versions that a "
        "registered model, a waiting candidate or the stored training set refers to stay for as long as these do.",
    )
    compact_files: int = Field(
        default=20, ge=2, description="Number of small files (below 50 MiB) from which on a table's are merged."
    )


class CostPrices(Section):
    """What the machine costs. It decides nothing: `perennial history` tells by it what each version has cost."""

    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")] = Field(
        default="EUR", description="Currency of the prices: three capital letters, as ISO 4217 has them."
    )
    cpu_hour: float | None = Field(default=None, ge=0.0, description="Price of one CPU for an hour of CPU time.")
    gibibyte_hour: float | None = Field(
        default=None,
        ge=0.0,
        description="Price of one GiB of memory for an hour; a stage is reported by its peak, for as long as it ran.",
    )
    wall_hour: float | None = Field(
        default=None, ge=0.0, description="Price of the machine as a whole for an hour that a stage ran."
    )


class PipelineConfig(Section):
    """One pipeline: one model product, kept fresh."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")] = Field(
        description="The pipeline's name: also its registered model, its folder in the lake and the file's name."
    )
    description: str = Field(min_length=1, description="What is predicted, and for whom.")
    enabled: bool = Field(
        default=True,
        description="Whether schedules, events and the sweep start runs; a person's runs go on.",
    )
    owner: str = Field(default="", description="Who answers for it: a team or a mail address.")
    task: Literal["regression", "classification"] = Field(description="What kind of target it has.")
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="Seed of everything random in this pipeline.")
    source: Source = Field(description="Where observations land.")
    labels: LabelSource | None = Field(
        default=None, description="Where labels land, if they come later in files of their own."
    )
    contract: Contract = Field(description="What a row is.")
    expectations: tuple[Expectation, ...] = Field(default=(), description="What must hold for observations.")
    validation: Validation = Field(default=Validation(), description="When a file as a whole is refused.")
    features: Features = Field(description="What the model sees.")
    split: Split = Field(description="How the holdout is chosen.")
    training: Training = Field(description="What is trained.")
    evaluation: Evaluation = Field(description="What is measured and must be reached.")
    compliance: Compliance = Field(default=Compliance(), description="Rules that a candidate must keep (gate P01).")
    retrain: Retrain = Field(default=Retrain(), description="When new data leads to a new model.")
    approval: Approval = Field(default=Approval(), description="Whether a person must approve.")
    rollout: RolloutPlan = Field(default=RolloutPlan(), description="How a new version comes to serve.")
    serving: Serving = Field(default=Serving(), description="What the prediction service takes.")
    monitoring: Monitoring = Field(default=Monitoring(), description="How drift and performance are watched.")
    upkeep: Upkeep = Field(default=Upkeep(), description="How long old versions of the tables stay readable.")
    cost: CostPrices = Field(
        default=CostPrices(), description="What the machine costs; a price left out is not part of the sum."
    )

    @property
    def feature_columns(self) -> tuple[str, ...]:
        """Columns the model's Pipeline is given, in the contract's order: declared features and the event time."""
        used = {*self.features.numeric, *self.features.categorical}
        used.update(column for custom in self.features.custom for column in custom.columns)
        if self.features.calendar and self.contract.event_time:
            used.add(self.contract.event_time)
        return tuple(name for name in self.contract.columns if name in used)

    @property
    def training_columns(self) -> tuple[str, ...]:
        """Columns of the observations that a training set is made of."""
        wanted = dict.fromkeys(self.feature_columns)
        if self.contract.event_time:
            wanted[self.contract.event_time] = None
        if isinstance(self.split, GroupSplit):
            wanted[self.split.column] = None
        if self.labels is None:
            wanted[self.contract.target] = None
        return tuple(wanted)

    @property
    def observation_columns(self) -> dict[str, Column]:
        """The contract's columns that observation files hold: all, but for the target where labels land apart."""
        if self.labels is None:
            return dict(self.contract.columns)
        return {name: column for name, column in self.contract.columns.items() if name != self.contract.target}

    def columns_of(self, feed: Literal["observations", "labels"]) -> dict[str, Column]:
        """The contract's columns that a feed's files hold."""
        return self.observation_columns if feed == "observations" else self.label_columns

    @property
    def label_columns(self) -> dict[str, Column]:
        """The contract's columns that label files hold: the key and the target."""
        names = (*self.contract.key, self.contract.target)
        return {name: self.contract.columns[name] for name in names}
