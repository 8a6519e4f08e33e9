"""Prefect tasks of the stage ingestion."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.ingestion import stage
from tasks.retry import RETRIES

discover = task(name="discover", cache_policy=NO_CACHE, **RETRIES)(stage.discover)
read = task(name="read", task_run_name="read-{files[0].path}", cache_policy=NO_CACHE, **RETRIES)(stage.read)
fetch_for_scoring = task(name="fetch-for-scoring", cache_policy=NO_CACHE, **RETRIES)(stage.fetch_for_scoring)
read_for_scoring = task(name="read-for-scoring", cache_policy=NO_CACHE, **RETRIES)(stage.read_for_scoring)
plan_backfill = task(name="plan-backfill", cache_policy=NO_CACHE, **RETRIES)(stage.plan_backfill)
