"""The lines of prefect.yaml that each pipeline has: its own deployment, with its schedule and its triggers."""

from __future__ import annotations

from tasks.lifecycle.schedule import nightly_minute


def nightly(pipeline: str) -> str:
    """A pipeline's nightly schedule, UTC, as a cron line."""
    hour, minute = divmod(nightly_minute(pipeline), 60)
    return f"{minute} {hour} * * *"


def lines(pipeline: str) -> str:
    """The deployment lifecycle/NAME, as it stands in the list `deployments`."""
    resource = f'{{prefect.resource.id: perennial.pipeline.{pipeline}, perennial.followed: "no"}}'
    return (
        "  - <<: *lifecycle\n"
        f"    name: {pipeline}\n"
        f"    parameters: {{pipeline: {pipeline}}}\n"
        f'    schedules: [{{cron: "{nightly(pipeline)}", timezone: UTC}}]\n'
        f"    triggers: [{{<<: *changed, match: {resource}}}]\n"
    )
