"""200 random kills, of workers and of the search itself, over a search of 100 short trials: what is lost?

`python -m tests.benchmarks.kills [KILLS] [TRIALS]` prints the count; it takes a quarter of an hour.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.bench.test_faults import check_that_all_is_told, folder_of, running, search
from tests.conftest import RECIPE
from tests.processes import workers_of
from tsbench.search.study import Study

SHARE_OF_SEARCH = 0.2  # of the kills; the others are of workers


def main(kills: int, trials: int) -> int:
    """Kills and resumes until the search is complete, and prints what became of it."""
    chance, done, of_search, begun = random.Random(0), 0, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        recipe = Path(folder) / "tiny.yaml"
        recipe.write_text(RECIPE.replace("trials: 4", f"trials: {trials}").replace("epochs: 4", "epochs: 40"))
        while True:
            process, killed = search(recipe, "execution.workers=2"), False
            begun += 1
            while process.poll() is None:
                if done < kills and running(recipe) and (workers := workers_of(process.pid)):
                    time.sleep(chance.uniform(0.0, 0.6))
                    killed = chance.random() < SHARE_OF_SEARCH
                    (process if killed else chance.choice(workers)).kill()
                    done, of_search = done + 1, of_search + killed
                    if done % 20 == 0:
                        print(f"{done} kills, {Study.open(folder_of(recipe)).counts()}", file=sys.stderr, flush=True)
                    if killed:
                        break
                time.sleep(0.05)
            _, errors = process.communicate()
            if not killed:
                break
        assert process.returncode == 0, errors
        check_that_all_is_told(recipe, trials)
        study = Study.open(folder_of(recipe))
        states = Counter(one.state.name for one in study.trials())
        lost = study.counts()["lost"]
    print(
        f"{done} kills ({of_search} of the search, {done - of_search} of workers), {begun} calls: {trials} trials told "
        f"complete, pruned or failed, each once; {lost} lost attempts told failed and begun again; 0 left running; "
        f"Optuna and MLflow agree trial by trial. States in Optuna: {dict(states)}"
    )
    return 0


if __name__ == "__main__":
    given = [int(one) for one in sys.argv[1:]]
    raise SystemExit(main(*(given + [200, 100][len(given) :])))
