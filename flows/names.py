"""How runs and deployments are called in Prefect."""

from __future__ import annotations

SHARED = "any"  # the name of the deployments that all pipelines share


def deployment_of(flow: str, pipeline: str) -> str:
    """The deployment, as FLOW/NAME, that runs a flow for a pipeline. Those of all flows but lifecycle are shared."""
    return f"{flow}/{pipeline}" if flow == "lifecycle" else f"{flow}/{SHARED}"


def pipeline_tag(pipeline: str) -> str:
    """The tag of a pipeline's runs."""
    return f"pipeline:{pipeline}"
