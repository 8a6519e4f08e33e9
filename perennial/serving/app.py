"""The service's endpoints: MLflow's scoring protocol, a path for each pipeline, feedback, health and metrics."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version as installed
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from perennial.serving import body, openapi, page
from perennial.serving.follower import PipelineSlot
from perennial.serving.handler import PredictionResponse
from perennial.serving.loaded import ServedVersions
from perennial.serving.problem import RequestRejectedError
from perennial.serving.service import Service

_JSON = "application/json"
_SMALL_BYTES = 32 << 10  # larger ones are read in a thread: other callers are not to wait for it


def create(service: Service) -> FastAPI:
    """The application.

    Args:
        service: What answers.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.start(asyncio.get_running_loop())
        try:
            yield
        finally:
            await service.stop()

    app = FastAPI(title="Perennial", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.add_exception_handler(RequestRejectedError, _rejected_response)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _rejected_response)  # and the guard's log tells where it was
    _add_prediction_routes(app, service)
    _add_status_routes(app, service)
    return app


def _add_prediction_routes(app: FastAPI, service: Service) -> None:
    @app.post("/invocations")
    async def invocations(request: Request) -> Response:
        return await _predict(request, service, service.default())

    @app.post("/pipelines/{name}/invocations")
    async def pipeline_invocations(name: str, request: Request) -> Response:
        return await _predict(request, service, service.slot(name))

    @app.post("/pipelines/{name}/feedback")
    async def feedback(name: str, request: Request) -> Response:
        slot = service.slot(name)
        request.state.pipeline = name
        taken, key = await asyncio.to_thread(service.accept_labels, slot, _content_type(request), request.state.body)
        return _json({"taken": taken, "id": key}, status=202)


def _add_status_routes(app: FastAPI, service: Service) -> None:
    @app.get("/ping")
    async def ping() -> Response:
        return Response("\n", status_code=200 if service.is_ready() else 503, media_type="text/plain")

    @app.get("/health")
    async def health() -> Response:
        ok = not service.draining
        return _json({"status": "ok" if ok else "ending"}, status=200 if ok else 503)

    @app.get("/version")
    async def version() -> Response:
        return Response(installed("mlflow"), media_type="text/plain")

    @app.get("/pipelines")
    async def pipelines() -> Response:
        return _json({"pipelines": [_status_document(slot) for slot in service.slots.values()]})

    @app.get("/pipelines/{name}")
    async def pipeline(name: str) -> Response:
        return _json(_status_document(service.slot(name)))

    @app.get("/metrics")
    async def metrics() -> Response:
        service.gauge()
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/openapi.json")
    async def schema() -> Response:
        return _json(openapi.document(service))

    @app.get("/docs")
    async def docs(request: Request) -> Response:
        address = str(request.base_url).rstrip("/")
        return Response(page.html(service, address), media_type="text/html; charset=utf-8")


async def _predict(request: Request, service: Service, slot: PipelineSlot) -> Response:
    state = request.state
    state.pipeline = slot.config.name
    live = service.versions(slot)
    sent = body.read(_content_type(request), state.body, live.champion.order, slot.config.serving.max_rows)
    result = await service.handler.handle(live, sent, state.request, state.at_us, state.began)
    return _json(*_response_document(live, result))


def _response_document(live: ServedVersions, result: PredictionResponse) -> tuple[dict[str, Any], dict[str, str]]:
    """An answer as MLflow's server gives it, with what gave it beside."""
    document: dict[str, Any] = {"predictions": result.predictions}
    if result.probabilities:
        document["probabilities"] = result.probabilities
    versions = dict.fromkeys(result.versions) or {live.champion.version: None}
    roles = dict.fromkeys(result.roles) or {"champion": None}
    one = len(versions) == 1
    document["model"] = {
        "pipeline": live.config.name,
        "version": next(iter(versions)) if one else None,
        "role": next(iter(roles)) if one else "mixed",
    }
    if not one:
        document["versions"], document["roles"] = result.versions, result.roles
    return document, {"x-perennial-version": ",".join(str(version) for version in sorted(versions))}


def _status_document(slot: PipelineSlot) -> dict[str, Any]:
    live = slot.versions
    return {
        "pipeline": slot.config.name,
        "description": slot.config.description,
        "champion": None if live is None else live.champion.version,
        "challenger": None if live is None or live.challenger is None else live.challenger.version,
        "exposure": None if live is None or live.exposure is None else live.exposure.model_dump(mode="json"),
        "problem": slot.problem,
    }


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", "")


def _json(value: Any, headers: dict[str, str] | None = None, *, status: int = 200) -> Response:
    # A Response's own encoder would go through it in Python.
    packed = orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)
    return Response(packed, status_code=status, headers=headers, media_type=_JSON)


async def _rejected_response(_: Request, error: Exception) -> Response:
    rejection = (
        error if isinstance(error, RequestRejectedError) else RequestRejectedError(500, "An error of the service.")
    )
    headers = {"retry-after": str(rejection.retry_after)} if rejection.retry_after else None
    return _json(rejection.body(), headers, status=rejection.status)


async def _http(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    messages = {404: "There is nothing here. See /docs.", 405: "Not by this method. See /docs."}
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else None
    return _json(RequestRejectedError(status, messages.get(status, "Not possible.")).body(), headers, status=status)
