"""An S3 for tests: moto's server on a loopback port, with its address and credentials in the environment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3  # type: ignore[import-untyped]  # it ships no types
import fsspec  # type: ignore[import-untyped]  # it ships no types
import httpx
import pytest
from moto.server import ThreadedMotoServer


@contextmanager
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An empty S3, as boto3's resource, while the block runs; whoever reads the environment finds it."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "tests",
            "AWS_SECRET_ACCESS_KEY": "tests",
            "AWS_DEFAULT_REGION": "us-east-1",
        }.items():
            monkeypatch.setenv(name, value)
        forget()  # a client of another test's has that test's address
        httpx.post(f"http://{host}:{port}/moto-api/reset").raise_for_status()  # all servers of a process share it
        yield boto3.resource("s3")
    finally:
        forget()
        server.stop()


def forget() -> None:
    """Drop the clients that are kept: they hold the address that the environment gave when they were made."""
    fsspec.get_filesystem_class("s3").clear_instance_cache()
