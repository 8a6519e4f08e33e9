"""Great Expectations' Data Docs, made of what the lake keeps of each batch."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import great_expectations as gx
import great_expectations.expectations  # registers them
from great_expectations.data_context.store import TupleFilesystemStoreBackend
from great_expectations.data_context.types.base import DataContextConfig, InMemoryStoreBackendDefaults
from great_expectations.data_context.types.resource_identifiers import (
    ExpectationSuiteIdentifier,
    ValidationResultIdentifier,
)
from great_expectations.render.renderer.site_builder import SiteBuilder

from tasks.records.base import Record
from tasks.validation.docs import results, views
from tasks.validation.docs.validated import BatchWithResults

_MADE_BY = ".made-by"
_VIEWS = views.__name__


class BuiltDocs(Record):
    """What was made.

    Attributes:
        index: The page to open.
        pages: Pages that were made, of files.
        problems: What Great Expectations could not draw; such a part of a page says so.
    """

    index: str
    pages: int
    problems: tuple[str, ...] = ()


class AtomicPages(TupleFilesystemStoreBackend):  # type: ignore[misc]  # it ships no types
    """Pages on disk, each there whole or not at all; without the pictures and fonts that ours do not use."""

    def _set(self, key: Any, value: Any, **_: Any) -> str:
        path = Path(self.full_base_directory) / self._convert_key_to_filepath(key)
        if key[:1] == ("static",):
            return str(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            draft.write_bytes(value.encode() if isinstance(value, str) else value)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
        return str(path)

    def remove_key(self, key: Any) -> bool:
        """Remove a page, and the folders that are empty without it; whether it was there."""
        path = Path(self.full_base_directory) / self._convert_key_to_filepath(
            key if isinstance(key, tuple) else key.to_tuple()
        )
        if not path.is_file():
            return False
        path.unlink()
        for folder in path.parents:
            if folder == Path(self.full_base_directory) or any(folder.iterdir()):
                break
            folder.rmdir()
        return True


def build(folder: Path, pipeline: str, batches: Sequence[BatchWithResults]) -> BuiltDocs:
    """Make the pages that are not there yet, the suites' pages and the index; remove pages of other batches.

    Args:
        folder: Where the pages are.
        pipeline: Its name.
        batches: Those that have a page, oldest first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    context = _context()
    keys = {results.key(one): one for one in batches}
    for key, one in keys.items():
        context.validation_results_store.set(key, results.validation(one))
    suites, unrenderable = results.suites(batches)
    for suite in suites:
        context.suites.add(suite)
    site = _site(context, folder, pipeline)
    if not _same_builder(folder):
        site.clean_site()
    existing = set(site.target_store.store_backends[ValidationResultIdentifier].list_keys())
    missing = [key for key in keys if key.to_tuple() not in existing]
    with _render_errors() as problems:
        site.build(resource_identifiers=[*missing, *(ExpectationSuiteIdentifier(one.name) for one in suites)])
    (folder / _MADE_BY).write_text(_builder_digest(), encoding="utf-8")
    return BuiltDocs(index=str(folder / "index.html"), pages=len(missing), problems=(*unrenderable, *problems))


def _context() -> Any:
    """A context that keeps nothing."""
    config = DataContextConfig(store_backend_defaults=InMemoryStoreBackendDefaults(), analytics_enabled=False)
    return gx.get_context(mode="ephemeral", project_config=config)


def _site(context: Any, folder: Path, pipeline: str) -> Any:
    page = {"module_name": _VIEWS, "class_name": views.PageView.__name__}
    results_page = {"module_name": _VIEWS, "class_name": views.ResultsPage.__name__}
    index = {"module_name": _VIEWS, "class_name": views.IndexPage.__name__}
    return SiteBuilder(
        context,
        store_backend={
            "module_name": __name__,
            "class_name": AtomicPages.__name__,
            "base_directory": str(folder.absolute()),
        },
        site_name=pipeline,
        show_how_to_buttons=False,
        site_index_builder={
            "class_name": "DefaultSiteIndexBuilder",
            "renderer": index,
            "view": {"module_name": _VIEWS, "class_name": views.IndexView.__name__},
        },
        site_section_builders={
            "expectations": {"view": page},
            "validations": {"renderer": results_page, "view": page},
            "profiling": "None",
        },
    )


@contextlib.contextmanager
def _render_errors() -> Iterator[list[str]]:
    """What Great Expectations logs as an error while the block runs: it goes on where it can't draw something."""
    messages: list[str] = []

    class _Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines = [line.strip() for line in record.getMessage().splitlines() if line.strip()]
            messages.append((lines[1] if len(lines) > 1 else lines[0]).partition("  Traceback:")[0])

    logger, handler = logging.getLogger("great_expectations.render"), _Collect(logging.WARNING)
    logger.addHandler(handler)
    propagates, logger.propagate = logger.propagate, False
    try:
        yield messages
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagates


def _same_builder(folder: Path) -> bool:
    stamp = folder / _MADE_BY
    return stamp.is_file() and stamp.read_text(encoding="utf-8") == _builder_digest()


def _builder_digest() -> str:
    """Digest of what pages are made with: pages of another are made anew."""
    modules = [Path(str(one)) for one in (__file__, results.__file__, views.__file__)]
    parts = [path.read_bytes() for path in (*modules, *sorted(views.TEMPLATES.iterdir()))]
    return hashlib.sha256(b"\n".join([gx.__version__.encode(), *parts])).hexdigest()
