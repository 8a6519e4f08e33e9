"""A registered version is rebuilt from its lineage and compared with itself; nothing is stored but the record."""

from __future__ import annotations

from prefect import flow

from flows.context import open_home
from tasks.errors import PerennialError, UsageError
from tasks.progress import say, timed
from tasks.provenance import worktree
from tasks.stores.environment import ROOT
from tasks.stores.settings import Settings
from tasks.training.reproduction import Reproduction, headline
from tasks.training.task import publish_reproduction, reproduce_version

_SECONDS = 6 * 3600.0


@flow(name="reproduce", flow_run_name="reproduce-{pipeline}")
def reproduce(pipeline: str, version: int | None = None, in_place_env: bool = False) -> Reproduction:
    """Rebuild a version from its lineage, and report whether it is equal or what differs.

    Where only code or packages are others than then, those of then are made in a folder of their own, from the commit
    and its lock, and the version is rebuilt there.

    Args:
        pipeline: The pipeline's name.
        version: A registered version; the champion by default.
        in_place_env: Never make another environment: refuse where packages differ.
    """
    settings = open_home()
    with timed("reproduce") as running:
        found = reproduce_version(settings, pipeline, version)
        if in_place_env and found.differs("packages"):
            raise UsageError(_refusal(found))
        if not found.rebuilt and not in_place_env and not found.differs("data", "configuration"):
            found = _as_then(settings, found)
        publish_reproduction(found)
        running.note = headline(found)
    return found


def _refusal(found: Reproduction) -> str:
    check = next(check for check in found.checks if check.kind == "packages")
    return (
        f"{found.pipeline} version {found.version} was made with other packages: {check.found}. {check.remedy} Or "
        "leave out --in-place-env: that environment is then made, where the commit is in the local repository."
    )


def _as_then(settings: Settings, found: Reproduction) -> Reproduction:
    """The same by code and packages of then, where the local repository has them; else as it was found."""
    if not worktree.has_commit(ROOT, found.commit):
        return found
    say(f"making the environment of commit {found.commit[:12]}: this takes minutes, once")
    folder = worktree.create_environment(ROOT, found.commit, settings.root / "environments", found.python)
    words = ["-m", "tasks.training.rebuild", found.pipeline, str(found.version)]
    done = worktree.run(folder, words, _environment(settings, found.threads), _SECONDS)
    if not done.stdout:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise PerennialError(f"{found.pipeline} version {found.version} could not be rebuilt in {folder}: {last}")
    return Reproduction.model_validate_json(done.stdout).model_copy(update={"environment": str(folder)})


def _environment(settings: Settings, threads: int) -> dict[str, str]:
    """What a process in another folder needs to find the same places, and to have the threads of then."""
    return {
        **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads)),
        "PERENNIAL_HOME": str(settings.root),
        "PERENNIAL_STATE_DIR": str(settings.state),
        "PERENNIAL_LAKE_URL": settings.lake,
        "PERENNIAL_MLFLOW_TRACKING_URI": settings.tracking_uri,
    }
