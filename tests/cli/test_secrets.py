"""No command prints a credential, whatever the address that holds it is like; the stores cannot be reached."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.cli.conftest import run
from tests.conftest import RECIPE
from tsbench.bench.run_log import FILE, log_of

SECRET = "s3cr3tXy9"

ADDRESSES = [
    f"postgresql+pg8000://me:{SECRET}@127.0.0.1:9/x",
    f"postgresql+pg8000://me:{SECRET}%40more@127.0.0.1:9/x?password={SECRET}",
    f"mysql+pymysql://me:{SECRET}@127.0.0.1:9/x",
    f"mssql://{SECRET}@127.0.0.1:9/x",
    f"http://someone:{SECRET}@127.0.0.1:9",
    f"http://someone:{SECRET}/more@127.0.0.1:9",
    f"http://{SECRET}@127.0.0.1:9",
    f"http://127.0.0.1:9/?token={SECRET}",
    f"me:{SECRET}@127.0.0.1:9/x",
    f"postgresql//me:{SECRET}@127.0.0.1:9/x",
    f"postgresql://me:{SECRET}@127.0.0.1:port/x",
    f"postgresql%3A%2F%2Fme%3A{SECRET}%40127.0.0.1%3A9%2Fx",
]


@pytest.fixture(autouse=True)
def _retry_briefly(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TSBENCH_RETRY_TIMEOUT", "0.1")
    monkeypatch.setattr("mlflow.store.db.utils.MAX_RETRY_COUNT", 0)  # else it tries a closed port for two minutes
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("address", ADDRESSES)
def test_no_command_prints_a_credential(address: str, recipe_file: Callable[..., Path]) -> None:
    path = recipe_file()
    path.write_text(RECIPE + f'tracking: {{uri: "{address}"}}\n')
    bad = path.with_name("bad.yaml")
    bad.write_text(
        RECIPE + f'tracking: {{uri: "{address}", nonsense: "{address}"}}\nsearch: {{storage: "{address}"}}\n'
    )
    for command in (
        ("validate", path),
        ("validate", bad),
        ("validate", path, "--set", f"search.storage={address}"),
        ("validate", path, "--set", f"search.trials={address}"),
        ("validate", path, "--set", f"tracking.uri: {address}"),
        ("search", path),
        ("search", path, "--dry-run"),
        ("search", path, "--set", f"tracking.uri={address}"),
        ("search", path, "--set", "tracking.uri=sqlite:///mlflow.db", "--set", f"search.storage={address}"),
        ("compare", "tiny", "--tracking-uri", address),
        ("compare", path),
        ("ui", "tiny", "--tracking-uri", address),
        ("studies", "--tracking-uri", address),
        ("worker", "tiny", "--tracking-uri", address),
        ("worker", "tiny", "--storage", address),
    ):
        result = run(*command)
        assert SECRET not in result.output, command
        assert result.exception is None or isinstance(result.exception, SystemExit), command


@pytest.mark.parametrize(
    "command",
    [
        (f"http://me:{SECRET}@host",),
        ("compare", "--metric", f"http://me:{SECRET}@host"),
        ("studies", "tiny", f"http://me:{SECRET}@host"),
        ("compare", f"--http://me:{SECRET}@host"),
        ("search", "r.yaml", f"--tracking=http://me:{SECRET}@host"),
        ("datasets", f"http://me:{SECRET}@host"),
    ],
)
def test_wrong_arguments_are_reported_without_credentials(command: tuple[str, ...]) -> None:
    result = run(*command)
    assert result.exit_code == 2
    assert "Error: " in result.output
    assert SECRET not in result.output


def test_an_unexpected_traceback_shows_no_credentials(tmp_path: Path) -> None:
    program = (
        "from tsbench.cli import app\n"
        "@app.command()\n"
        "def fail(address: str) -> None:\n"
        "    raise RuntimeError(f'no {address}')\n"
        f"app(['fail', 'http://me:' + {SECRET[:4]!r} + {SECRET[4:]!r} + '@host'])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.endswith("RuntimeError: no http://me:***@host\nThis is an error in tsbench; please report it.\n")
    assert SECRET not in done.stdout + done.stderr


@pytest.mark.parametrize("address", ADDRESSES)
def test_the_log_of_a_search_holds_no_credential_of_an_error(address: str, tmp_path: Path) -> None:
    with suppress(OSError), log_of(tmp_path, "tiny") as log:
        log.say(f"asking {address}")
        raise OSError(f"no answer from {address}")
    text = (tmp_path / FILE).read_text(encoding="utf-8")
    assert "OSError: no answer from " in text
    assert SECRET not in text
