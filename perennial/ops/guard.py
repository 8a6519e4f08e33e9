"""Prefect's server behind a check of who asks: neither its API nor its WebSockets are open to other sites' pages.

Prefect's own setting for CORS would not do: it keeps pages from reading answers, but not from sending what needs no
preflight (a body without a content type is read as JSON), nor from opening WebSockets. Prefect does not check Host.
"""

from __future__ import annotations

from collections.abc import Iterable

from tasks.errors import UsageError
from tasks.origins import Allowed, OriginGuard
from tasks.stores.settings import load_settings


def local(addresses: Iterable[str], pages: Iterable[str]) -> OriginGuard:
    """Prefect's server with its background services, as the environment configures it.

    Args:
        addresses: Origins that it is reached at.
        pages: Origins whose pages may ask: those of its UI.
    """
    from prefect.server.api.server import create_app

    return OriginGuard(create_app(), Allowed(addresses, pages))


def team() -> OriginGuard:
    """What `prefect server start --no-services` serves: `uvicorn --factory perennial.ops.guard:team`.

    Workers and people reach it at the addresses in PERENNIAL_ALLOWED_ORIGINS, and at no others.

    Raises:
        UsageError: that is not set.
    """
    origins = load_settings().allowed_origins
    if not origins:
        raise UsageError(
            "PERENNIAL_ALLOWED_ORIGINS: found nothing; expected the addresses that workers and people reach this "
            "server at, separated by commas, such as http://prefect:4200,https://prefect.example.org."
        )
    from prefect.server.api.server import create_app

    return OriginGuard(create_app(webserver_only=True, final=True), Allowed(origins, origins))
