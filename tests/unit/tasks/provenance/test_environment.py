"""Digests of code and libraries: layout changes nothing, any other change does."""

import hashlib
from pathlib import Path

import pytest

from tasks.stores import environment

CODE = '''\
"""What it is for."""

class Half:
    """Halves."""

    def of(self, number):
        """Half of a number."""
        return number / 2  # exact
'''


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    monkeypatch.delenv("PERENNIAL_GIT_COMMIT", raising=False)
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "half.py").write_text(CODE)
    return tmp_path


def digest_of(root: Path, code: str) -> str:
    (root / "tasks" / "half.py").write_text(code)
    return environment.read_module(root / "tasks" / "half.py", ["tasks"])[0]


SAME = {
    "a comment": CODE.replace("# exact", "# not for odd integers"),
    "a module's docstring": CODE.replace("What it is for.", "What it was for."),
    "a docstring gone": CODE.replace('        """Half of a number."""\n', ""),
    "all docstrings gone": "class Half:\n    def of(self, number):\n        return number / 2\n",
    "layout": CODE.replace("number / 2", "(\n            number\n            / 2\n        )"),
    "blank lines": CODE.replace("class", "\n\n\nclass"),
}
OTHER = {
    "a number": CODE.replace("/ 2", "/ 3"),
    "an operator": CODE.replace("/ 2", "// 2"),
    "a name": CODE.replace("def of", "def from_"),
    "a default": CODE.replace("self, number", "self, number=1"),
    "a type of a number": CODE.replace("/ 2", "/ 2.0"),
    "a text that is no docstring": CODE + 'UNIT = "halves"\n',
    "a line more": CODE + "x = 1\n",
    "nothing left": "",
}


@pytest.mark.parametrize("code", SAME.values(), ids=SAME.keys())
def test_what_does_not_run_changes_nothing(code: str, root: Path) -> None:
    assert code != CODE
    assert digest_of(root, code) == digest_of(root, CODE)


@pytest.mark.parametrize("code", OTHER.values(), ids=OTHER.keys())
def test_what_runs_changes_the_digest(code: str, root: Path) -> None:
    assert code != CODE
    assert digest_of(root, code) != digest_of(root, CODE)


def test_a_function_of_a_docstring_alone_is_as_good_as_pass(root: Path) -> None:
    assert digest_of(root, 'def f():\n    """Nothing."""\n') == digest_of(root, "def f():\n    pass\n")


IMPORTS = """import json
from tasks.features.split import by_time, stable
from tasks.stores import hashing


def split(rows):
    from tasks.features import training_set
    return by_time(rows, stable(hashing.digest(rows)), training_set, json)
"""


@pytest.mark.parametrize(
    "code",
    [
        IMPORTS.replace("tasks.features.split", "tasks.splitting.rows"),
        IMPORTS.replace("from tasks.stores import hashing", "from tasks.stores.files import hashing"),
        IMPORTS.replace("import by_time, stable\n", "import stable\nfrom tasks.features.time import by_time\n"),
        IMPORTS.replace("from tasks.features import", "from tasks import"),
    ],
    ids=["a module", "a package", "a function", "inside a function"],
)
def test_where_a_project_module_lies_changes_nothing(code: str, root: Path) -> None:
    assert digest_of(root, code) == digest_of(root, IMPORTS)


@pytest.mark.parametrize(
    "code",
    [
        IMPORTS.replace("import json", "import simplejson as json"),
        IMPORTS.replace("import by_time, stable", "import by_time, stable, other"),
        IMPORTS.replace("import by_time, stable", "import by_day as by_time, stable"),
    ],
    ids=["a vendor", "another name", "another function under the name"],
)
def test_what_is_imported_counts(code: str, root: Path) -> None:
    assert digest_of(root, code) != digest_of(root, IMPORTS)


def test_the_lock_is_known_by_its_bytes(root: Path) -> None:
    assert environment.lock_digest() == ""
    (root / "requirements.lock").write_bytes(b"numpy==1\n")
    assert environment.lock_digest() == hashlib.sha256(b"numpy==1\n").hexdigest()


def test_the_commit_can_be_told_where_there_is_no_checkout(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert environment.git_commit() == ""
    monkeypatch.setenv("PERENNIAL_GIT_COMMIT", "")  # as an image has it that was built without a commit
    assert environment.git_commit() == ""
    monkeypatch.setenv("PERENNIAL_GIT_COMMIT", "abc123")
    assert environment.git_commit() == "abc123"


def test_versions_are_those_installed() -> None:
    import numpy as np
    import sklearn

    found = environment.library_versions()
    assert found["numpy"] == np.__version__
    assert found["scikit-learn"] == sklearn.__version__
    assert set(found) == set(environment.LIBRARIES)
