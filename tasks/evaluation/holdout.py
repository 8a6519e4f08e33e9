"""The holdout of an evaluation: truth, resampling units and the rows unseen by the champion."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from configs.schema import PipelineConfig
from tasks.evaluation.gates.base import Holdout
from tasks.features.frame import target_values
from tasks.features.split import unseen_mask
from tasks.features.training_set import TARGET, event_times, resample_units, split_hashes
from tasks.records.model import ModelRef
from tasks.stores.lake.schemas import SEQ


def build_holdout(config: PipelineConfig, table: pa.Table, champion: ModelRef | None) -> Holdout:
    """Return the holdout of a training set, shape (n_rows, n_columns), for a comparison with the champion."""
    times = event_times(table, config.contract.event_time)
    unseen = np.ones(table.num_rows, dtype=bool)
    if champion is not None:
        sequences = np.asarray(table.column(SEQ).to_numpy())
        same_clock = champion.split.kind != "time" or champion.split.column == config.contract.event_time
        hashes = split_hashes(table, champion.split)
        unseen = unseen_mask(champion.split, champion.through_seq, sequences, times if same_clock else None, hashes)
    truth = target_values(table.select([TARGET]), config.contract.columns[config.contract.target])
    return Holdout(truth, resample_units(config, table), unseen)
