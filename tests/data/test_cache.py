import hashlib
import json
import multiprocessing
import os
import pickle
import stat
import time
from pathlib import Path

import numpy as np
import pytest

from tests.data.made import make_cases, write_ts
from tsbench.data.archive import Archive
from tsbench.data.cache import Cache, place_for, user_cache
from tsbench.data.collection import Collection
from tsbench.data.folders import is_writable
from tsbench.data.formats import read_ts
from tsbench.data.stored import CHECKSUMS, VERIFIED
from tsbench.errors import DataError


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """An archive of one data set, and a cache of the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TSBENCH_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "own" / "Pumps"
    folder.mkdir(parents=True)
    write_ts(folder / "Pumps_TRAIN.ts", make_cases(seed=1, unequal=True))
    write_ts(folder / "Pumps_TEST.ts", make_cases(seed=2, cases=5))
    return tmp_path / "own"


def never(path):
    raise AssertionError(f"{path} was read again")


# --- where it stands


def test_it_stands_where_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("TSBENCH_CACHE", str(tmp_path / "mine"))
    assert place_for(tmp_path) == user_cache() == tmp_path / "mine"


def test_the_cache_is_in_the_archive_unless_that_cannot_be_written(tmp_path, monkeypatch):
    monkeypatch.delenv("TSBENCH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    (tmp_path / "own").mkdir()
    assert place_for(tmp_path / "own") == tmp_path / "own" / ".tsbench"
    (tmp_path / "own").chmod(stat.S_IRUSR | stat.S_IXUSR)
    assert not is_writable(tmp_path / "own")
    assert place_for(tmp_path / "own") == user_cache()
    assert place_for(tmp_path / "nowhere") == user_cache()


def test_an_archive_that_may_not_be_written_is_left_as_it_was(archive, monkeypatch, tmp_path):
    monkeypatch.delenv("TSBENCH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    archive.chmod(0o555)
    first = Archive(archive).load("Pumps")
    assert Archive(archive).load("Pumps").train.digest() == first.train.digest()
    assert [path.name for path in archive.iterdir()] == ["Pumps"]
    assert first.train.stored.is_relative_to(user_cache())


def test_without_any_place_to_write_the_cases_stay_in_memory(archive, monkeypatch, tmp_path):
    (tmp_path / "a file").write_text("")
    monkeypatch.setenv("TSBENCH_CACHE", str(tmp_path / "a file" / "cache"))
    loaded = Archive(archive).load("Pumps")
    assert loaded.train.stored is None
    assert loaded.train.digest() == read_ts(archive / "Pumps" / "Pumps_TRAIN.ts").collection.digest()


# --- what is kept


def test_what_is_kept_is_what_was_read(archive):
    path = archive / "Pumps" / "Pumps_TRAIN.ts"
    read, cache = read_ts(path), Cache(user_cache())
    kept, digest = cache.read(path, "ts", read_ts)
    again, _ = cache.read(path, "ts", never)
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    for cases in (kept, again):
        assert cases.collection.digest() == read.collection.digest()
        assert list(cases.collection.labels) == list(read.collection.labels)
        assert list(cases.lines) == list(read.lines)
        assert cases.place(3) == read.place(3)
        assert cases.collection.values.dtype == np.float64


def test_files_are_neither_read_nor_hashed_a_second_time(archive, monkeypatch):
    first = Archive(archive).load("Pumps")
    monkeypatch.setattr("tsbench.data.archive.read_ts", never)
    monkeypatch.setattr(Cache, "sha256", staticmethod(never))
    second = Archive(archive).load("Pumps")
    assert second.files == first.files
    assert second.train.digest() == first.train.digest()


def test_groups_are_kept(tmp_path):
    make_cases(groups=3).save(tmp_path)
    assert list(Collection.load(tmp_path).groups[:4]) == ["g0", "g1", "g2", "g0"]


def test_another_reader_or_content_has_a_place_of_its_own(archive):
    path, cache = archive / "Pumps" / "Pumps_TRAIN.ts", Cache(user_cache())
    cache.read(path, "ts", read_ts)
    cache.read(path, "long", read_ts)
    path.write_text(path.read_text().replace("0.", "1."))
    cache.read(path, "ts", read_ts)
    assert len(list((user_cache() / "parsed").iterdir())) == 3


@pytest.mark.parametrize("damage", ["cut", "removed", "garbled"])
def test_what_is_damaged_is_read_anew(archive, damage):
    digest = Archive(archive).load("Pumps").train.digest()
    for folder in (user_cache() / "parsed").iterdir():
        file = folder / ("about.json" if damage == "garbled" else "values.npy")
        if damage == "cut":
            file.write_bytes(file.read_bytes()[:-8])
        elif damage == "removed":
            file.unlink()
        else:
            file.write_text("{")
    second = Archive(archive).load("Pumps")
    assert second.train.digest() == digest
    assert second.train.stored is not None


def test_a_write_to_the_arrays_changes_nothing_that_is_kept(archive):
    first = Archive(archive).load("Pumps").train
    first.values[:] = 0
    assert Archive(archive).load("Pumps").train.values.any()


def test_it_goes_to_another_process_by_its_place(archive):
    loaded = Archive(archive).load("Pumps")
    sent = pickle.dumps(loaded)
    assert len(sent) < 2000
    assert pickle.loads(sent).train.digest() == loaded.train.digest()
    part = loaded.train.subset(np.array([0, 2]))
    assert pickle.loads(pickle.dumps(part)).digest() == part.digest()


def test_a_copy_with_other_values_is_not_taken_for_what_is_kept(archive):
    from dataclasses import replace

    loaded = Archive(archive).load("Pumps").train
    other = pickle.loads(pickle.dumps(replace(loaded, values=loaded.values + 1)))
    np.testing.assert_array_equal(other.values, loaded.values + 1)


def test_what_was_kept_and_is_gone_is_reported_in_a_sentence(archive):
    sent = pickle.dumps(Archive(archive).load("Pumps").train)
    for folder in (user_cache() / "parsed").iterdir():
        (folder / "values.npy").unlink()
    with pytest.raises(DataError, match="the cached cases are missing or damaged; run the same command again"):
        pickle.loads(sent)


def flip(path: Path, keep_time: bool = True) -> None:
    """One bit near the end of a file becomes another; its size and, if asked for, its times stay."""
    about, content = path.stat(), bytearray(path.read_bytes())
    content[-3] ^= 4
    path.write_bytes(bytes(content))
    if keep_time:
        os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))


def test_saved_again_it_has_files_of_its_own(archive, tmp_path):
    loaded = Archive(archive).load("Pumps").train
    (tmp_path / "study").mkdir()
    loaded.save(tmp_path / "study")
    digest = loaded.digest()
    flip(loaded.stored / "values.npy", keep_time=False)
    assert Collection.load(tmp_path / "study").digest() == digest


@pytest.mark.parametrize("name", ["values.npy", "lengths.npy", "labels.npy"])
def test_a_flipped_bit_is_never_used(archive, name):
    digest = Archive(archive).load("Pumps").train.digest()
    sent = pickle.dumps(Archive(archive).load("Pumps").train)
    for folder in (user_cache() / "parsed").iterdir():
        flip(folder / name)
    with pytest.raises(DataError, match="the cached cases are missing or damaged"):
        pickle.loads(sent)
    assert Archive(archive).load("Pumps").train.digest() == digest  # read again
    assert pickle.loads(sent).digest() == digest


def test_a_flipped_bit_in_the_cases_of_a_study_is_noticed_and_an_older_study_is_read(tmp_path):
    cases = make_cases(groups=3)
    cases.save(tmp_path)
    for name in (CHECKSUMS, VERIFIED):
        (tmp_path / name).rename(tmp_path / f"{name}.away")
    assert Collection.load(tmp_path).digest() == cases.digest()  # as version 0.1.0 wrote it
    for name in (CHECKSUMS, VERIFIED):
        (tmp_path / f"{name}.away").rename(tmp_path / name)
    assert Collection.load(tmp_path).digest() == cases.digest()
    flip(tmp_path / "groups.npy")
    with pytest.raises(ValueError, match=r"groups\.npy differs from what was written"):
        Collection.load(tmp_path)


@pytest.mark.parametrize("keep_time", [True, False])
def test_a_file_that_changes_while_it_is_read_is_refused_and_nothing_is_kept(archive, keep_time):
    path, cache = archive / "Pumps" / "Pumps_TRAIN.ts", Cache(user_cache())

    def slow(path: Path):
        about, text = path.stat(), path.read_text()
        path.write_text(text.replace("0.", "1.", 1))
        if keep_time:
            os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
        return read_ts(path)

    with pytest.raises(DataError, match="the file was changed while it was read; run the same command again"):
        cache.read(path, "ts", slow)
    assert not (user_cache() / "parsed").exists()
    read, digest = cache.read(path, "ts", read_ts)
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert read.collection.digest() == read_ts(path).collection.digest()


def _load(archive: Path, barrier, results) -> None:
    barrier.wait()
    results.put(Archive(archive).load("Pumps").train.digest())


def test_processes_that_read_at_once_do_each_other_no_harm(archive):
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(6), context.Queue()
    processes = [context.Process(target=_load, args=(archive, barrier, results)) for _ in range(6)]
    for process in processes:
        process.start()
    digests = {results.get(timeout=60) for _ in processes}
    for process in processes:
        process.join()
    assert digests == {read_ts(archive / "Pumps" / "Pumps_TRAIN.ts").collection.digest()}
    kept = [path.name for path in (user_cache() / "parsed").iterdir()]
    assert len(kept) == 2
    assert not any(name.startswith(".") for name in kept)


# --- SHA-256 of files


def test_a_file_that_changed_since_it_was_first_read_is_refused(archive):
    Archive(archive).load("Pumps")
    path = archive / "Pumps" / "Pumps_TRAIN.ts"
    path.write_text(path.read_text().replace("0.", "1."))
    with pytest.raises(DataError) as caught:
        Archive(archive).load("Pumps")
    assert str(caught.value).startswith(f"{path}: the file has changed since it was first read: its SHA-256 was ")
    assert str(caught.value).endswith("or, if the change is intended, run `tsbench datasets verify --accept Pumps`")
    with pytest.raises(DataError, match="the file has changed"):  # still
        Archive(archive).load("Pumps")


def test_a_file_that_was_only_touched_is_not(archive):
    first = Archive(archive).load("Pumps")
    path = archive / "Pumps" / "Pumps_TRAIN.ts"
    os.utime(path, (time.time() + 5, time.time() + 5))
    assert Archive(archive).load("Pumps").files == first.files


def test_records_move_with_their_archive(archive, monkeypatch, tmp_path):
    monkeypatch.delenv("TSBENCH_CACHE")
    Archive(archive).load("Pumps")
    archive.rename(tmp_path / "moved")
    path = tmp_path / "moved" / "Pumps" / "Pumps_TRAIN.ts"
    cache = Archive(tmp_path / "moved").cache(path.parent)
    assert cache.seen(path) is not None
    path.write_text(path.read_text().replace("0.", "1."))
    with pytest.raises(DataError, match="the file has changed"):
        Archive(tmp_path / "moved").load("Pumps")


def test_a_record_that_cannot_be_read_is_as_none(archive):
    path, cache = archive / "Pumps" / "Pumps_TRAIN.ts", Cache(user_cache())
    digest = cache.digest(path)[1]
    for text in ("", "{", json.dumps({"a": 1}), "[]"):
        next((user_cache() / "seen").iterdir()).write_text(text)
        assert cache.digest(path)[1] == digest
