"""Settings from the environment."""

from __future__ import annotations

import pytest

from tasks.errors import UsageError
from tasks.stores.settings import load_settings


@pytest.mark.parametrize(
    ("text", "origins"),
    [
        ("", ()),
        ("https://Prefect.example.org:443", ("https://prefect.example.org",)),
        ("http://localhost:14200, http://localhost:15000,", ("http://localhost:14200", "http://localhost:15000")),
    ],
)
def test_origins_are_separated_by_commas(text: str, origins: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_ALLOWED_ORIGINS", text)
    assert load_settings().allowed_origins == origins


@pytest.mark.parametrize("wrong", ["*", "https://*.example.org", "prefect.example.org", "https://a.example/prefect"])
def test_a_pattern_a_bare_name_and_a_path_are_no_origins(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_ALLOWED_ORIGINS", f"https://good.example,{wrong}")
    with pytest.raises(UsageError, match=r"PERENNIAL_ALLOWED_ORIGINS: .*expected an address such as") as error:
        load_settings()
    assert repr(wrong) in str(error.value)


@pytest.mark.parametrize("name", ["PREFECT_PORT", "MLFLOW_PORT", "SERVE_PORT"])
@pytest.mark.parametrize("port", ["-1", "65536", "http"])
def test_a_port_is_one(name: str, port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"PERENNIAL_{name}", port)
    with pytest.raises(UsageError, match=f"PERENNIAL_{name}: found '{port}'"):
        load_settings()
