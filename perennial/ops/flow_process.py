"""What a flow run needs, imported once: runs are forked from a process that has these and has used none of them.

`multiprocessing` imports this module into its fork server. Nothing here may start a thread, open a database or touch a
Delta table: deltalake panics in a process that was forked after its first use.
"""

from __future__ import annotations

import gc
import os
import random
import runpy
import sys
from collections.abc import Mapping

from perennial.ops.prefect_server import environment
from tasks.stores.settings import load_settings

_NEEDED = (
    "flows.approve",
    "flows.backfill",
    "flows.deploy",
    "flows.lifecycle",
    "flows.reconcile",
    "flows.reproduce",
    "flows.rollback",
    "flows.rollout",
    "flows.upkeep",
    "great_expectations.execution_engine",
    "great_expectations.validator.validator",
    "mlflow.data.delta_dataset_source",
    "mlflow.data.meta_dataset",
    "mlflow.sklearn",
    "mlflow.store.tracking.sqlalchemy_store",
    "prefect.flow_engine",
    "sklearn.ensemble",
    "sklearn.linear_model",
    "tasks.release.rollout.observations",
    "tasks.release.rollout.requests",
    "tasks.evaluation.gates.registry",
    "tasks.features.definitions",
    "tasks.ingestion.staging",
    "tasks.monitoring.measures",
    "tasks.stores.registry.models",
    "tasks.stores.registry.tracking",
    "tasks.training.fit",
    "tasks.validation.docs.build",
    "tasks.validation.commit",
)


def warm_up() -> None:
    """Import all of it; a module that a later change removed is an error at once, not a slow run."""
    os.environ.update(environment(load_settings()))
    for name in _NEEDED:
        __import__(name)
    gc.collect()
    gc.freeze()  # garbage collection would touch, and so copy, what the forks share


def run(own: Mapping[str, str]) -> None:
    """Run the flow run that the environment names, as `python -m prefect.engine` does, in a forked process."""
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    os.environ.update(own)
    random.seed()
    sys.argv = ["prefect.engine"]
    sys.modules.pop("prefect.engine", None)  # it is run anew, as a main program
    # Prefect's heartbeat thread would hold each run's end up by a second; flow_runs.py tells who lives.
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        runpy.run_module("prefect.engine", run_name="__main__", alter_sys=True)
