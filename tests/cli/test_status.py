"""What commands show while they are silent: a status on a terminal's standard error, nothing elsewhere."""

import os
import pty
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import RECIPE
from tests.processes import TSBENCH

ERASE_LINE = "\x1b[2K"
SCRIPT = """
import time
from tsbench.cli.status import working
with working("loading the model of [GunPoint]"):
    time.sleep(0.5)
print("done")
"""


def on_a_terminal(command: list[str], folder: Path, seconds: float) -> tuple[str, float]:
    """What a command prints to a terminal within some seconds, and when it printed first; then it is killed."""
    parent, child = pty.openpty()
    began = time.monotonic()
    process = subprocess.Popen(command, cwd=folder, stdin=child, stdout=child, stderr=child, start_new_session=True)
    os.close(child)
    os.set_blocking(parent, False)
    output, first = b"", 0.0
    while time.monotonic() - began < seconds:
        try:
            output += os.read(parent, 65536)
        except BlockingIOError:
            time.sleep(0.02)
        except OSError:  # Linux, when nobody has the other end any more
            break
        if output and not first:
            first = time.monotonic() - began
    process.kill()
    process.wait()
    os.close(parent)
    return output.decode(errors="replace"), first


@pytest.mark.parametrize(("columns", "left_out"), [(80, ["domain", "remarks"]), (100, ["domain"]), (130, [])])
def test_the_list_of_data_sets_is_cut_by_columns_not_inside_cells(
    tmp_path: Path, columns: int, left_out: list[str]
) -> None:
    shown, _ = on_a_terminal(["env", f"COLUMNS={columns}", TSBENCH, "datasets", "list"], tmp_path, 60)
    assert "2 to 385" in shown
    assert "DistalPhalanxOutlineAgeGroup" in shown
    assert "…" not in shown
    assert ("Left out at this width: " + ", ".join(left_out) in shown) == bool(left_out)


def test_a_status_is_shown_on_a_terminal_and_removed(tmp_path: Path) -> None:
    output, _ = on_a_terminal([sys.executable, "-c", SCRIPT], tmp_path, 20)
    assert "loading the model of [GunPoint]" in output
    assert ERASE_LINE in output.rpartition("loading the model")[2]
    assert output.endswith("done\r\n")


def test_a_log_has_no_status(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("done\n", "")


def test_a_search_says_at_once_what_it_prepares(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(RECIPE)
    command = [TSBENCH, "search", "tiny.yaml", "--set", "execution.device=cuda:9"]
    output, first = on_a_terminal(command, tmp_path, 30)
    assert re.search(r"starting \(\d s\)", output)
    assert re.search(r"reading 1 data set \(\d+ s\)", output)
    # Half a second on a machine that is not busy; before, nothing was shown until the first trial.
    assert first < 3
    assert ERASE_LINE in output.rpartition("reading 1 data set")[2]
    assert "cuda:9" in output.rpartition(ERASE_LINE)[2]  # the refusal follows on a clean line
