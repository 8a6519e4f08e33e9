"""People are notified of failures and of what waits for them: Prefect automations that post to a webhook.

    PERENNIAL_NOTIFY_URL=https://... python -m perennial.ops.deployments.notify

The address is a secret: it comes from the environment, and lies encrypted in a Prefect block.
"""

from __future__ import annotations

from typing import cast
from uuid import UUID

from prefect import get_client
from prefect.automations import Automation, EventTrigger, Posture
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.events.actions import SendNotification
from prefect.types import SecretDict

from tasks.errors import UsageError
from tasks.stores.settings import Settings, load_settings

_BLOCK = "perennial-webhook"
_RUNS = "perennial: a run failed"
_NEWS = "perennial: something needs a person"
_EVENTS = {
    "perennial.data.rejected",
    "perennial.drift.detected",
    "perennial.performance.degraded",
    "perennial.approval.requested",
    "perennial.model.rolled_back",
}
_RUN_BODY = (
    "{{ flow_run.name }} ended as {{ flow_run.state.name }}: {{ flow_run.state.message }}\n{{ flow_run|ui_url }}"
)
_NEWS_BODY = (
    "{{ event.event }} for {{ event.resource['prefect.resource.name'] }}: {{ event.payload|tojson }}\n"
    "{{ event|ui_url }}"
)


def ensure(settings: Settings) -> None:
    """Make, or make anew, the webhook's block and the two automations on PREFECT_API_URL's server.

    Raises:
        UsageError: PERENNIAL_NOTIFY_URL is not set.
    """
    if settings.notify_url is None:
        raise UsageError("PERENNIAL_NOTIFY_URL is not set: expected the address of a webhook that takes {'text': ...}.")
    block = CustomWebhookNotificationBlock(
        name=_BLOCK,
        url="{{url}}",
        json_data={"text": "*{{subject}}*\n{{body}}"},
        secrets=SecretDict({"url": settings.notify_url.get_secret_value()}),
    )
    saved = cast("UUID", block.save(_BLOCK, overwrite=True))
    runs = EventTrigger(
        expect={"prefect.flow-run.Failed", "prefect.flow-run.Crashed", "prefect.flow-run.TimedOut"},
        match={"prefect.resource.id": "prefect.flow-run.*"},
        match_related={"prefect.resource.id": "prefect.tag.perennial"},
        posture=Posture.Reactive,
        threshold=1,
    )
    news = EventTrigger(
        expect=_EVENTS, match={"prefect.resource.id": "perennial.pipeline.*"}, posture=Posture.Reactive, threshold=1
    )
    with get_client(sync_client=True) as client:
        for name in (_RUNS, _NEWS):
            for old in client.read_automations_by_name(name):
                client.delete_automation(old.id)
    for name, trigger, body in ((_RUNS, runs, _RUN_BODY), (_NEWS, news, _NEWS_BODY)):
        Automation(
            name=name, trigger=trigger, actions=[SendNotification(block_document_id=saved, subject=name, body=body)]
        ).create()


if __name__ == "__main__":
    ensure(load_settings())
