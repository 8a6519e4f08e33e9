"""What the service counts, for Prometheus. Several processes share their numbers by files."""

from __future__ import annotations

import os

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """All of the service's metrics, under one registry. Names of pipelines are those served, so their number is bound.

    Attributes:
        requests: Answers, by pipeline, endpoint and status code.
        seconds: From a request's arrival to its answer.
        predictions: Rows answered, by the version that gave the answer and its role.
        errors: Rows that a version failed: `exception`, `timeout`, `busy`.
        predict_seconds: Within the model, a batch.
        batch_rows: Rows predicted together.
    """

    def __init__(self) -> None:
        own = CollectorRegistry()
        self._registry = own
        self.requests = Counter(
            "perennial_requests", "Requests answered.", ["pipeline", "endpoint", "code"], registry=own
        )
        self.seconds = Histogram(
            "perennial_request_seconds", "From arrival to answer.", ["pipeline"], buckets=_SECONDS, registry=own
        )
        self.predictions = Counter(
            "perennial_predictions", "Rows answered.", ["pipeline", "version", "role"], registry=own
        )
        self.errors = Counter(
            "perennial_prediction_errors",
            "Rows that a version failed.",
            ["pipeline", "version", "role", "kind"],
            registry=own,
        )
        self.predict_seconds = Histogram(
            "perennial_predict_seconds",
            "Within the model, a batch.",
            ["pipeline", "role"],
            buckets=_SECONDS,
            registry=own,
        )
        self.batch_rows = Histogram(
            "perennial_batch_rows", "Rows predicted together.", ["pipeline"], buckets=_ROWS, registry=own
        )
        self.waiting = Gauge(
            "perennial_queue_rows",
            "Rows that wait for a model.",
            ["pipeline"],
            registry=own,
            multiprocess_mode="livesum",
        )
        self.in_work = Gauge(
            "perennial_requests_in_work", "Requests in work.", registry=own, multiprocess_mode="livesum"
        )
        self.version = Gauge(
            "perennial_model_version",
            "Version that serves in a role; 0: none.",
            ["pipeline", "role"],
            registry=own,
            multiprocess_mode="livemax",
        )
        self.share = Gauge(
            "perennial_canary_share",
            "Share of the keys that the challenger answers.",
            ["pipeline"],
            registry=own,
            multiprocess_mode="livemax",
        )
        self.swaps = Counter("perennial_model_swaps", "Versions taken into service.", ["pipeline"], registry=own)
        self.swap_seconds = Histogram(
            "perennial_model_swap_seconds", "From seeing an alias moved to serving by it.", ["pipeline"], registry=own
        )
        self.refused = Counter("perennial_models_refused", "Versions that can't be served.", ["pipeline"], registry=own)
        self.reachable = Gauge(
            "perennial_registry_reachable",
            "Whether the registry answered last time (1) or not (0).",
            registry=own,
            multiprocess_mode="livemin",
        )
        self.shadow_dropped = Counter(
            "perennial_shadow_dropped",
            "Rows that shadow or control did not answer, being too many.",
            ["pipeline"],
            registry=own,
        )
        self.logged = Counter(
            "perennial_log_answers", "Answers put into the prediction log.", ["pipeline"], registry=own
        )
        self.shipped = Counter(
            "perennial_log_shipped", "Answers of the log shipped to the lake.", ["pipeline"], registry=own
        )
        self.lost = Counter("perennial_log_lost", "Answers that a killed process lost.", ["pipeline"], registry=own)
        self.dropped = Counter(
            "perennial_log_dropped", "Answers not logged: the disk's share is full.", ["pipeline"], registry=own
        )
        self.pending = Gauge(
            "perennial_log_pending", "Answers not on disk yet.", registry=own, multiprocess_mode="livesum"
        )
        self.inputs = Counter(
            "perennial_input_values", "Values of a column that came in.", ["pipeline", "column"], registry=own
        )
        self.missing = Counter(
            "perennial_input_missing", "Those that were missing.", ["pipeline", "column"], registry=own
        )
        self.unseen = Counter(
            "perennial_input_unseen",
            "Those that the contract does not list as allowed.",
            ["pipeline", "column"],
            registry=own,
        )
        self.sums = Gauge(
            "perennial_input_sum",
            "Sum of a column's numbers.",
            ["pipeline", "column"],
            registry=own,
            multiprocess_mode="sum",
        )
        self.squares = Gauge(
            "perennial_input_squares",
            "Sum of the squares of a column's numbers.",
            ["pipeline", "column"],
            registry=own,
            multiprocess_mode="sum",
        )
        self.spilled = Gauge(
            "perennial_log_spilled_bytes",
            "Files of the log that wait for the lake.",
            registry=own,
            multiprocess_mode="livemax",
        )
        self.labels = Counter("perennial_feedback_labels", "Labels taken.", ["pipeline"], registry=own)

    def text(self) -> bytes:
        """All of it, as Prometheus reads it; of all processes where there are several."""
        if not os.environ.get(FOLDER):
            return generate_latest(self._registry)
        gathered = CollectorRegistry()
        MultiProcessCollector(gathered)  # type: ignore[no-untyped-call]  # it ships none
        return generate_latest(gathered)


def remove_process(pid: int) -> None:
    """Leave out the gauges of a process that ended."""
    mark_process_dead(pid)  # type: ignore[no-untyped-call]
