"""MLflow's server, as `mlflow server` with its options, on a database that is whole: `perennial up` starts it."""

from __future__ import annotations

import runpy
import sys

from tasks.stores.registry.database import make_database
from tasks.stores.settings import load_settings

if __name__ == "__main__":
    make_database(load_settings().tracking_uri)
    sys.argv = ["mlflow", "server", *sys.argv[1:]]
    runpy.run_module("mlflow", run_name="__main__", alter_sys=True)
