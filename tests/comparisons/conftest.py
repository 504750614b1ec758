import pytest

from tsbench.tracking import names
from tsbench.tracking.split import ARCHIVE
from tsbench.tracking.store import Store


@pytest.fixture
def store(store_uri):
    return Store(store_uri)


class Log:
    """Writes results to an experiment as a run of tsbench does, each begun a second after the one before."""

    def __init__(self, store, experiment="small"):
        self.store = store
        self.experiment = store.experiment(experiment)
        self.begun = 1_000_000_000

    def __call__(self, dataset, classifier, accuracy=None, *, resample=0, state="complete", **more):
        tags = {
            names.ROLE: more.get("role", "model" if classifier == names.NETWORK else "baseline"),
            names.DATASET: dataset,
            names.CLASSIFIER: classifier,
            names.RESAMPLE: resample,
        }
        if (split := more.get("split", ARCHIVE)) is not None:
            tags[names.SPLIT] = split.tag
        if state is not None:
            tags[names.STATE] = state
        if "reason" in more:
            tags[names.REASON] = more["reason"]
        self.begun += 1
        run = self.store.begin(self.experiment, f"{classifier} {dataset}", tags, started=more.get("begun", self.begun))
        metrics = {} if accuracy is None else {names.test("accuracy"): accuracy}
        self.store.log(run, metrics={**metrics, **more.get("metrics", {})})
        if more.get("status", "FINISHED") != "RUNNING":
            self.store.end(run, more.get("status", "FINISHED"))
        return run


@pytest.fixture
def log(store):
    return Log(store)
