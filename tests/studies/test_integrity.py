"""A journal with damage is refused with its line, whatever the damage is."""

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from optuna.storages.journal._storage import JournalOperation

from tests.studies.test_study import finish, make
from tsbench.errors import SearchError
from tsbench.studies.specification import stored_fingerprint
from tsbench.studies.study import Study
from tsbench.studies.trials import RESULT

Lines = list[bytes]


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A study with two complete trials and one that waits."""
    made = make(tmp_path / "s", trials=3)
    made.queue.refill()
    finish(made, 0, 0.5)
    finish(made, 1, 0.75)
    return made.folder


def lines_of(folder: Path) -> Lines:
    return (folder / "journal.log").read_bytes().splitlines(keepends=True)


def index_of(lines: Lines, operation: JournalOperation, contains: str = "") -> int:
    return next(
        number
        for number, line in enumerate(lines)
        if json.loads(line)["op_code"] == operation and contains in line.decode()
    )


def without(operation: JournalOperation, contains: str = "") -> Callable[[Lines], Lines]:
    def remove(lines: Lines) -> Lines:
        index = index_of(lines, operation, contains)
        return lines[:index] + lines[index + 1 :]

    return remove


def replaced(old: bytes, new: bytes) -> Callable[[Lines], Lines]:
    def replace(lines: Lines) -> Lines:
        index = next(number for number, line in enumerate(lines) if old in line)
        return [*lines[:index], lines[index].replace(old, new, 1), *lines[index + 1 :]]

    return replace


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (replaced(b'{"op_code"', b'{"op_code'), r"journal\.log:1: .* the line is not valid JSON"),
        (replaced(b'"op_code"', b'"op_cod\xff"'), r"journal\.log:1: .* the line is not valid JSON"),
        (replaced(b'"op_code":4', b'"op_code":44'), r"has no known operation code \(44\)"),
        (lambda lines: [*lines, b"[]\n"], r"has no known operation code \(None\)"),
        (replaced(b'"worker_id"', b'"worker_ie"'), "the line has no 'worker_id'"),
        (without(JournalOperation.CREATE_STUDY), "refers to study 0, which no line before creates"),
        (without(JournalOperation.CREATE_TRIAL), "did not run with its queued parameters"),
        (
            lambda lines: without(JournalOperation.CREATE_TRIAL)(without(JournalOperation.CREATE_TRIAL)(lines)),
            "refers to t",
        ),
        (
            without(JournalOperation.SET_TRIAL_STATE_VALUES),
            "trial 0 ends without having started, so that a line is mis",
        ),
        (without(JournalOperation.SET_TRIAL_USER_ATTR, RESULT), "trial 0 is complete, but its results are not"),
        (replaced(b'"cv_accuracy":0.75', b'"cv_accuracy":0.95'), "trial 1 is complete, but its results are not"),
        (replaced(b'"state":1', b'"state":7'), r"no known state of a trial \(7\)"),
    ],
)
def test_damage_is_named(study: Path, damage: Callable[[Lines], Lines], sentence: str) -> None:
    (study / "journal.log").write_bytes(b"".join(damage(lines_of(study))))
    with pytest.raises(SearchError, match=sentence) as caught:
        Study.open(study).check_trials()
    assert "`fresh=True`, which archives the study and starts a new one" in str(caught.value)


def test_a_last_line_that_a_kill_cut_is_no_damage(study: Path) -> None:
    with (study / "journal.log").open("ab") as file:
        file.write(b'{"op_code":8,"worker_id":"x","tri')
    opened = Study.open(study)
    opened.check_trials()
    finish(opened, 2, 0.9)
    again = Study.open(study)
    again.check_trials()
    assert again.trials().counts()["complete"] == 3


def test_a_changed_byte_anywhere_ends_in_a_sentence_or_changes_nothing_that_is_read(study: Path) -> None:
    journal = study / "journal.log"
    whole, chance = journal.read_bytes(), random.Random(0)
    refused = 0
    for _ in range(150):
        place = chance.randrange(len(whole))
        journal.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << chance.randrange(8)]) + whole[place + 1 :])
        opened = Study.open(study)
        try:
            opened.check_trials()
            opened.trials().counts()
            opened.trials().best()
        except SearchError:
            refused += 1
    assert refused > 50
    journal.write_bytes(whole)
    Study.open(study).check_trials()


def test_a_journal_that_is_deleted_while_it_is_open_is_named(study: Path) -> None:
    opened = Study.open(study)
    assert opened.trials().counts()["complete"] == 2
    (study / "journal.log").unlink()
    with pytest.raises(SearchError, match="was deleted or moved while it was in use"):
        opened.storage.get_all_studies()
    with pytest.raises(SearchError, match="was deleted or moved while it was in use"):
        opened.notes.note_seconds(1.0, 2.0)


@pytest.mark.parametrize("file", ["values.npy", "lengths.npy", "labels.npy", "checksums.json"])
@pytest.mark.parametrize("keep", [None, 0, 0.5])
def test_training_cases_that_are_missing_or_cut_are_a_sentence(study: Path, file: str, keep: float | None) -> None:
    path = study / file
    content = path.read_bytes()
    path.unlink()
    if keep is not None:
        path.write_bytes(content[: int(keep * len(content))])
    if (file, keep) == ("checksums.json", None):  # as an older version left it
        assert len(Study.open(study).training.cases) == 20
        return
    with pytest.raises(SearchError, match="the training cases of this study are missing or damaged; put the files"):
        _ = Study.open(study).training


def test_a_study_of_a_newer_format_is_refused_and_one_without_a_number_is_of_the_first(study: Path) -> None:
    file = study / "study.json"
    plain = json.loads(file.read_text())
    assert plain["format"] == 2
    file.write_text(json.dumps(plain | {"format": 3}))
    with pytest.raises(
        SearchError, match=r"has format 3, which a newer version of tsbench wrote; .* up to format 2: upda"
    ):
        Study.open(study)
    del plain["format"]
    file.write_text(json.dumps(plain))
    assert Study.open(study).trials().counts()["complete"] == 2


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "1", "{}", '"meaning"', "[" * 100_000])
def test_a_description_that_is_no_study_is_a_sentence(study: Path, text: str) -> None:
    (study / "study.json").write_text(text)
    assert stored_fingerprint(study) is None
    with pytest.raises(SearchError, match=r"study\.json cannot be read"):
        Study.open(study)
