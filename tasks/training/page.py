"""What people read of a fitted model in the Prefect UI."""

from __future__ import annotations

from configs.schema import PipelineConfig
from tasks.records.model import ModelRef


def fitted_page(config: PipelineConfig, model: ModelRef) -> str:
    """A fitted model in markdown: on how many rows and columns, and where it is."""
    return (
        f"# {config.name}: fitted\n\n`{config.training.estimator}` on {model.train_rows} rows, "
        f"{len(model.feature_columns)} columns.\n\nMLflow run `{model.run_id}`, model `{model.model_uri}`."
    )
