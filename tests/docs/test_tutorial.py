"""The tutorial does what it says: its blocks are run in their order, in an empty folder."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.processes import free_port, served

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"
ENVIRONMENT = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
BLOCK = re.compile(r'^```(\w+)(?: title="(.+?)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[tuple[str, str, str]]:
    """Language, title and content of each block."""
    return BLOCK.findall(page.read_text(encoding="utf-8"))


def run(script: str, folder: Path) -> str:
    """The output of a shell script that must succeed."""
    done = subprocess.run(
        ["sh", "-e", "-c", script],
        cwd=folder,
        env={**os.environ, **ENVIRONMENT},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.skipif(os.name == "nt", reason="its commands are a POSIX shell's")
def test_the_tutorial_ends_with_a_served_model(tmp_path: Path) -> None:
    printed: dict[str, str] = {}
    steps = [block for block in blocks(PAGE) if block[0] != "text"]
    serving = next(number for number, (_, title, _) in enumerate(steps) if title == "serve")
    for _, title, content in (*steps[:serving], *steps[serving + 1 :]):
        if title and title not in ("ask", "serve"):
            (tmp_path / title).write_text(content, encoding="utf-8")
        elif title != "ask":
            printed[content] = run(content, tmp_path)
    checked = next(text for script, text in printed.items() if "datasets check" in script)
    assert "60" in checked
    found = next(text for script, text in printed.items() if script == "tsbench search pumps.yaml\n")
    assert all(name in found for name in ("network", "dummy", "minirocket", "quant"))
    assert (tmp_path / "report.html").is_file()
    assert pd.read_csv(tmp_path / "predicted.csv")["label"].tolist() == ["worn", "good"]

    port = free_port()
    command = [
        "sh",
        "-e",
        "-c",
        steps[serving][2].replace("5001", str(port)).replace("mlflow models", "exec mlflow models"),
    ]
    (tmp_path / "ask.py").write_text((tmp_path / "ask.py").read_text().replace("5001", str(port)), encoding="utf-8")
    with served(command, f"http://127.0.0.1:{port}/ping", tmp_path, ENVIRONMENT):
        answered = run("python ask.py", tmp_path)
    assert [line.split()[0] for line in answered.splitlines()] == ["worn", "good"]
