"""Manifests: every run of a stage that ended well, with what it depended on, what it gave and what it cost."""

from __future__ import annotations

import json
from typing import TypeVar

import sqlalchemy as sa
from pydantic import ValidationError

from tasks.errors import PerennialError
from tasks.records.base import NewerRecordError, StoredRecord
from tasks.records.provenance import Manifest
from tasks.records.stages import StageName
from tasks.stores.settings import Settings
from tasks.stores.state.database import METADATA, connect

Output = TypeVar("Output", bound=StoredRecord)

_manifests = sa.Table(
    "manifests",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("pipeline", sa.String(63), nullable=False, index=True),
    sa.Column("stage", sa.String(20), nullable=False),
    sa.Column("fingerprint", sa.String(64), nullable=False, index=True),
    sa.Column("manifest", sa.Text, nullable=False),
)


class ManifestError(PerennialError):
    """A stored manifest that can't be read."""


class Manifests:
    """The manifests of one pipeline. They are only ever added to."""

    def __init__(self, settings: Settings, pipeline: str) -> None:
        self.pipeline = pipeline
        self._engine = connect(settings)

    def put(self, manifest: Manifest) -> int:
        """Keep a manifest, durably; its id."""
        row = {
            "pipeline": self.pipeline,
            "stage": manifest.stage,
            "fingerprint": manifest.fingerprint,
            "manifest": manifest.stored_json(),
        }
        with self._engine.begin() as connection:
            key = connection.execute(sa.insert(_manifests).values(**row)).inserted_primary_key
        if key is None:
            raise RuntimeError("the database of manifests returned no id for a new line")
        return int(key[0])

    def find(self, stage: StageName, fingerprint: str) -> Manifest | None:
        """The newest manifest of a stage with a fingerprint."""
        return self._first(_manifests.c.stage == stage, _manifests.c.fingerprint == fingerprint)

    def newest(self, stage: StageName) -> Manifest | None:
        """The newest manifest of a stage."""
        return self._first(_manifests.c.stage == stage)

    def output(self, manifest: Manifest, kind: type[Output]) -> Output:
        """What a stage gave, as the record that it is."""
        try:
            # By way of JSON: the contract's columns within are strict, and take a list for a tuple only there.
            return kind.model_validate_json(json.dumps(manifest.output))
        except (ValidationError, NewerRecordError) as error:
            raise self._unreadable(manifest.stage, f"of fingerprint {manifest.fingerprint[:12]}", error) from None

    def all(self, stage: StageName | None = None) -> list[Manifest]:
        """The manifests, of one stage or of all, oldest first."""
        query = self._query().order_by(_manifests.c.id)
        if stage is not None:
            query = query.where(_manifests.c.stage == stage)
        with self._engine.connect() as connection:
            return [self._read(*row) for row in connection.execute(query).all()]

    def readable(self) -> tuple[list[Manifest], list[str]]:
        """All manifests that can be read, oldest first, and what is wrong with each that can't."""
        found, damaged = [], []
        with self._engine.connect() as connection:
            for row in connection.execute(self._query().order_by(_manifests.c.id)).all():
                try:
                    found.append(self._read(*row))
                except ManifestError as error:
                    damaged.append(str(error))
        return found, damaged

    def _first(self, *where: sa.ColumnElement[bool]) -> Manifest | None:
        query = self._query().where(*where).order_by(_manifests.c.id.desc()).limit(1)
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else self._read(*row)

    def _query(self) -> sa.Select[tuple[int, str, str]]:
        columns = (_manifests.c.id, _manifests.c.stage, _manifests.c.manifest)
        return sa.select(*columns).where(_manifests.c.pipeline == self.pipeline)

    def _read(self, number: int, stage: str, text: str) -> Manifest:
        try:
            return Manifest.model_validate_json(text)
        except (ValidationError, NewerRecordError) as error:
            raise self._unreadable(stage, str(number), error) from None

    def _unreadable(self, stage: str, which: str, error: ValidationError | NewerRecordError) -> ManifestError:
        name = f"{self.pipeline}: manifest {which} ({stage}) in the state database"
        if isinstance(error, NewerRecordError):
            return ManifestError(f"{name} can't be read: {error} Nothing was run.")
        wrong = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in wrong["loc"])
        return ManifestError(
            f"{name} is damaged: {where or 'it'}: {wrong['msg']}. Nothing was run. Restore the database, or take the "
            "line out of its table `manifests`: the stage then runs again."
        )
