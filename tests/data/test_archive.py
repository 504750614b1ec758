import hashlib
import multiprocessing
import socket
import tempfile
import threading
import time
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import sktime
from sktime.datasets import _data_io

from tests.processes import free_port
from tsbench.data.archive import Archive, Description
from tsbench.errors import DataError

SKTIME = Path(sktime.__file__).parent / "datasets" / "data"
HEADER = "@problemName Small\n@timeStamps false\n@univariate true\n@classLabel true a b\n@data\n"
TRAIN = f"{HEADER}1,2,3:a\n4,5,6:b\n7,8,9:a\n"
TEST = f"{HEADER}2,4,6:b\n"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """No test sees the archives of whoever runs it, nor leaves this machine."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.delenv("TSBENCH_ARCHIVE", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(_data_io, "CLASSIF_URLS", [f"http://127.0.0.1:{free_port()}"])
    return tmp_path


def put(archive, name, train=TRAIN, test=TEST):
    folder = Path(archive) / name
    folder.mkdir(parents=True)
    (folder / f"{name}_TRAIN.ts").write_text(train)
    (folder / f"{name}_TEST.ts").write_text(test)
    return folder


# --- where data sets are looked for


def test_folders_are_looked_into_in_their_order(tmp_path, monkeypatch):
    monkeypatch.setenv("TSBENCH_ARCHIVE", str(tmp_path / "environment"))
    archive = Archive(tmp_path / "recipe")
    places = [tmp_path / "recipe", tmp_path / "environment", tmp_path / "here" / "datasets" / "archive", SKTIME]
    assert archive.folders == places
    for place in reversed(places[:-1]):  # from the last looked into to the first
        put(place, "GunPoint")
        assert archive.locate("GunPoint") == place / "GunPoint"


def test_what_sktime_ships_is_found_last():
    assert Archive().locate("GunPoint") == SKTIME / "GunPoint"
    assert Archive().folders[-1] == SKTIME


def test_folders_are_absolute_and_each_is_named_once(tmp_path, monkeypatch):
    monkeypatch.setenv("TSBENCH_ARCHIVE", "datasets/archive")
    archive = Archive("datasets/archive")
    assert archive.folders == [tmp_path / "here" / "datasets" / "archive", SKTIME]
    assert archive.home == tmp_path / "here" / "datasets" / "archive"


def test_downloads_go_to_the_first_folder(tmp_path, monkeypatch):
    assert Archive().home == tmp_path / "here" / "datasets" / "archive"
    monkeypatch.setenv("TSBENCH_ARCHIVE", str(tmp_path / "environment"))
    assert Archive().home == tmp_path / "environment"
    assert Archive("own").home == tmp_path / "here" / "own"


def test_a_home_folder_may_be_written_with_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Archive("~/sets").home == tmp_path / "sets"


def test_names_are_sorted_and_each_stands_with_its_first_folder(tmp_path):
    put(tmp_path / "own", "Zebra")
    put(tmp_path / "own", "Apple")
    put("datasets/archive", "Middle")
    put("datasets/archive", "Apple")
    (tmp_path / "own" / "Half").mkdir()
    (tmp_path / "own" / "Half" / "Half_TRAIN.ts").write_text(TRAIN)
    (tmp_path / "own" / "a file").write_text("")
    names = Archive(tmp_path / "own").names()
    assert list(names) == sorted(names)
    assert names["Apple"] == tmp_path / "own" / "Apple"
    assert names["Middle"] == tmp_path / "here" / "datasets" / "archive" / "Middle"
    assert names["GunPoint"] == SKTIME / "GunPoint"
    assert {"Zebra"} <= set(names)
    assert not {"Half", "a file"} & set(names)


def test_a_set_that_is_not_available_has_no_folder():
    assert Archive().locate("NoSuchSet") is None


@pytest.mark.parametrize(("there", "absent"), [("TRAIN", "TEST"), ("TEST", "TRAIN")])
def test_half_a_data_set_is_refused(tmp_path, there, absent):
    folder = tmp_path / "own" / "Half"
    folder.mkdir(parents=True)
    (folder / f"Half_{there}.ts").write_text(TRAIN)
    expected = f"{folder}/Half_{absent}.ts: this file is missing, but the other of the pair exists; "
    expected += "download the data set again"
    for call in (Archive(tmp_path / "own").locate, Archive(tmp_path / "own").obtain, Archive(tmp_path / "own").load):
        with pytest.raises(DataError) as caught:
            call("Half")
        assert str(caught.value) == expected


def test_sets_for_regression_are_not_among_the_names():
    assert not {"Tecator", "Covid3Month"} & set(Archive().names())


# --- loading and checking


def test_a_data_set_is_loaded_with_the_digests_of_its_files(tmp_path):
    folder = put(tmp_path / "own", "Tiny")
    loaded = Archive(tmp_path / "own").load("Tiny")
    assert loaded.name == "Tiny"
    assert loaded.resample == 0
    assert loaded.source == str(folder)
    np.testing.assert_array_equal(loaded.train.values, [[[1, 2, 3]], [[4, 5, 6]], [[7, 8, 9]]])
    np.testing.assert_array_equal(loaded.test.values, [[[2, 4, 6]]])
    assert list(loaded.train.labels) == ["a", "b", "a"]
    assert loaded.files == {
        "Tiny_TRAIN.ts": hashlib.sha256(TRAIN.encode()).hexdigest(),
        "Tiny_TEST.ts": hashlib.sha256(TEST.encode()).hexdigest(),
    }


@pytest.mark.parametrize("name", ["BasicMotions", "JapaneseVowels", "PLAID", "GunPoint"])
def test_a_shipped_data_set_is_loaded(name):
    loaded = Archive().load(name)
    assert set(loaded.test.classes) <= set(loaded.train.classes)
    assert loaded.train.channels == loaded.test.channels
    assert set(loaded.files) == {f"{name}_TRAIN.ts", f"{name}_TEST.ts"}


UNFIT = "impute these values, or remove the case"
MEANT = ", or, if they are intended, declare them in the header: @missing true"


@pytest.mark.parametrize(("text", "what"), [("?", "missing (NaN)"), ("inf", "infinite"), ("-1e999", "infinite")])
def test_a_missing_or_infinite_value_is_refused_with_its_place(tmp_path, text, what):
    train = f"# one\n@dimensions 2\n@data\n1,2,3:1,2,3:a\n4,5,6:4,5,{text}:b\n{text},8,9:7,8,9:a\n1,1,{text}:1,1,1:b\n"
    folder = put(tmp_path, "Unfit", train, "@data\n1,2,3:1,2,3:a\n")
    with pytest.raises(DataError) as caught:
        Archive(tmp_path).load("Unfit")
    assert str(caught.value) == (
        f"{folder}/Unfit_TRAIN.ts:5: case 2, channel 2, time step 3: the value is {what}, "
        f"and 2 other cases have such values; {UNFIT}{MEANT if text == '?' else ''}"
    )


def test_a_missing_value_in_the_test_file_is_refused_too(tmp_path):
    folder = put(tmp_path, "Unfit", test="@data\n2,4,?:b\n")
    with pytest.raises(DataError) as caught:
        Archive(tmp_path).load("Unfit")
    expected = f"{folder}/Unfit_TEST.ts:2: case 1, channel 1, time step 3: the value is missing (NaN); {UNFIT}{MEANT}"
    assert str(caught.value) == expected


def test_missing_values_that_the_header_announces_are_nan(tmp_path):
    put(tmp_path, "Gaps", f"@missing true\n{HEADER}1,?,3:a\n4,5,6:b\n", f"@missing true\n{HEADER}NaN,1,2:b\n")
    loaded = Archive(tmp_path).load("Gaps")
    np.testing.assert_array_equal(loaded.train.values, [[[1, np.nan, 3]], [[4, 5, 6]]])
    np.testing.assert_array_equal(loaded.test.values, [[[np.nan, 1, 2]]])
    assert loaded.train.missing_values
    assert not Archive().load("UnitTest").train.missing_values


def test_an_infinite_value_is_refused_even_where_missing_ones_are_announced(tmp_path):
    folder = put(tmp_path, "Gaps", f"@missing true\n{HEADER}1,?,inf:a\n4,5,6:b\n")
    with pytest.raises(DataError) as caught:
        Archive(tmp_path).load("Gaps")
    assert str(caught.value) == (
        f"{folder}/Gaps_TRAIN.ts:7: case 1, channel 1, time step 3: the value is infinite; {UNFIT}"
    )


def test_padding_is_not_taken_for_missing_values(tmp_path):
    put(tmp_path, "Uneven", "@data\n1,2,3:a\n4:b\n", "@data\n1,2,3,4,5:a\n")
    loaded = Archive(tmp_path).load("Uneven")
    assert list(loaded.train.lengths) == [3, 1]
    assert loaded.test.length == 5


def test_a_training_file_of_one_class_is_refused(tmp_path):
    folder = put(tmp_path, "One", "# x\n@data\n1:a\n2:a\n", "@data\n1:a\n")
    with pytest.raises(DataError) as caught:
        Archive(tmp_path).load("One")
    assert str(caught.value) == (
        f"{folder}/One_TRAIN.ts:3: case 1: all 2 training cases have the same label 'a'; "
        "classification needs at least two classes"
    )


def test_a_test_label_that_no_training_case_has_is_refused(tmp_path):
    folder = put(tmp_path, "Odd", "@data\n1:a\n2:b\n", "@data\n1:a\n\n2:c\n3:d\n")
    with pytest.raises(DataError) as caught:
        Archive(tmp_path).load("Odd")
    assert str(caught.value) == f"{folder}/Odd_TEST.ts:4: case 2 has the label 'c', which no training case has"


def test_files_of_different_channels_are_refused(tmp_path):
    folder = put(tmp_path, "Wide", "@data\n1:2:a\n2:3:b\n", "@data\n1:2:3:a\n")
    with pytest.raises(DataError) as caught:
        Archive(tmp_path).load("Wide")
    assert str(caught.value) == (f"{folder}/Wide_TEST.ts:2: case 1 has 3 channels, the training file's cases have 2")


def test_a_broken_file_is_refused_when_it_is_loaded(tmp_path):
    folder = put(tmp_path, "Broken", test="@data\n1,x,3:a\n")
    with pytest.raises(DataError, match=r"Broken_TEST\.ts:2: case 1, channel 1, time step 2: 'x' is not a number") as e:
        Archive(tmp_path).load("Broken")
    assert str(e.value).startswith(str(folder))


def test_one_other_case_is_spoken_of_in_the_singular(tmp_path):
    put(tmp_path, "Unfit", "@data\n?:a\n?:b\n", "@data\n1:a\n")
    with pytest.raises(DataError, match="and 1 other case has such values"):
        Archive(tmp_path).load("Unfit")


# --- describing


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("GunPoint", Description(50, 150, 1, "150", 2, "")),
        ("BasicMotions", Description(40, 40, 6, "100", 4, "")),
        ("JapaneseVowels", Description(270, 370, 12, "7 to 29", 9, "")),
        ("Tecator", None),
        ("NoSuchSet", None),
    ],
)
def test_sizes_of_a_data_set_are_described(name, expected):
    assert Archive().describe(name) == expected


def test_missing_values_are_remarked_on(tmp_path):
    put(tmp_path, "Unfit", "@classLabel true a b\n@data\n1,?:a\n2,3:b\n", "@classLabel true a b\n@data\n1,1:a\n")
    described = Archive(tmp_path).describe("Unfit")
    assert described == Description(2, 1, 1, "2", 2, "missing values")


# --- downloading


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


class _Short(_Quiet):
    """Announces more than it sends, as when a connection breaks off."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "5000")
        self.end_headers()
        self.wfile.write(b"PK\x03\x04 and no more")


@pytest.fixture
def serve(tmp_path, monkeypatch):
    """A mirror on this machine in place of sktime's, and a folder of its own for what sktime leaves behind."""
    (tmp_path / "tmp").mkdir()
    (tmp_path / "served").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    servers = []

    def start(handler=_Quiet):
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(tmp_path / "served")))
        servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        monkeypatch.setattr(_data_io, "CLASSIF_URLS", [f"http://127.0.0.1:{server.server_port}"])
        return tmp_path / "served"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
    assert list((tmp_path / "tmp").iterdir()) == []


def zipped(path, **files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"{name}.ts", content)


def test_a_set_that_is_not_available_is_downloaded_whole_into_the_first_folder(tmp_path, serve):
    zipped(serve() / "Far.zip", Far_TRAIN=TRAIN, Far_TEST=TEST)
    archive = Archive("own")
    loaded = archive.load("Far")
    home = tmp_path / "here" / "own"
    assert loaded.source == str(home / "Far")
    assert len(loaded.train) == 3
    assert [path.name for path in home.iterdir()] == ["Far"]
    assert (home / "Far" / "Far_TRAIN.ts").read_text() == TRAIN
    assert (home / "Far" / "Far_TEST.ts").read_text() == TEST
    assert archive.names()["Far"] == home / "Far"


def test_a_downloaded_set_is_not_downloaded_again(tmp_path, serve):
    served = serve()
    zipped(served / "Far.zip", Far_TRAIN=TRAIN, Far_TEST=TEST)
    first = Archive("own").load("Far")
    (served / "Far.zip").unlink()
    assert Archive("own").load("Far").train.digest() == first.train.digest()


def test_a_download_waits_no_longer_than_its_time_out_and_puts_the_former_one_back(serve):
    socket.setdefaulttimeout(77.0)
    try:
        zipped(serve() / "Far.zip", Far_TRAIN=TRAIN, Far_TEST=TEST)
        Archive("own").obtain("Far")
        assert socket.getdefaulttimeout() == 77.0
    finally:
        socket.setdefaulttimeout(None)


class _Counting(_Quiet):
    """Answers slowly, and keeps count."""

    asked: ClassVar[list[str]] = []

    def do_GET(self):
        self.asked.append(self.path)
        time.sleep(0.3)
        super().do_GET()


def _obtain(archive, barrier, results):
    barrier.wait()
    results.put(str(Archive(archive).obtain("Far")))


def test_processes_that_want_one_set_download_it_once(tmp_path, serve):
    zipped(serve(_Counting) / "Far.zip", Far_TRAIN=TRAIN, Far_TEST=TEST)
    _Counting.asked.clear()
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(3), context.Queue()
    processes = [context.Process(target=_obtain, args=(tmp_path / "own", barrier, results)) for _ in range(3)]
    for process in processes:
        process.start()
    assert {results.get(timeout=60) for _ in processes} == {str(tmp_path / "own" / "Far")}
    for process in processes:
        process.join()
    assert _Counting.asked == ["/Far.zip"]


def test_progress_is_reported_in_bytes(serve):
    zipped(serve(_Counting) / "Far.zip", Far_TRAIN=TRAIN, Far_TEST=TEST)
    told = []
    Archive("own", progress=lambda name, count: told.append((name, count))).obtain("Far")
    assert {name for name, _ in told} == {"Far"}
    assert told[-1][1] >= len(TRAIN) + len(TEST)


def test_of_a_download_the_two_files_alone_are_kept(tmp_path, serve):
    zipped(serve() / "Far.zip", Far_TRAIN=TRAIN, Far_TEST=TEST, more="x", **{"../../escaped": "x", "/tmp/escaped": "x"})
    folder = Archive("own").obtain("Far")
    assert sorted(path.name for path in folder.iterdir()) == ["Far_TEST.ts", "Far_TRAIN.ts"]
    assert not list(tmp_path.rglob("escaped*"))
    assert not Path("/tmp/escaped.ts").exists()


@pytest.mark.parametrize("name", ["../x", "a/b", "/etc", ".hidden", "..", "a b", ""])
def test_a_name_that_could_be_a_path_is_refused(name):
    for call in (Archive().locate, Archive().obtain, Archive().load, Archive().describe):
        with pytest.raises(DataError, match="is not a valid data set name: it may hold letters, digits"):
            call(name)


def test_an_archive_whose_permissions_forbid_it_is_not_written(tmp_path, serve):
    zipped(serve() / "Far.zip", Far_TRAIN=TRAIN, Far_TEST=TEST)
    (tmp_path / "own").mkdir(mode=0o555)
    with pytest.raises(DataError, match=r"own cannot be written: its permissions forbid it"):
        Archive(tmp_path / "own").obtain("Far")


@pytest.mark.parametrize("trouble", ["broken", "truncated", "empty", "half", "unreadable", "absent", "short"])
def test_a_download_that_fails_leaves_nothing_behind(tmp_path, serve, trouble):
    served = serve(_Short if trouble == "short" else _Quiet)
    file = served / "Far.zip"
    if trouble == "broken":
        file.write_bytes(b"this is no zip file" * 100)
    elif trouble == "truncated":
        zipped(served / "whole.zip", Far_TRAIN=TRAIN, Far_TEST=TEST)
        file.write_bytes((served / "whole.zip").read_bytes()[:-30])
    elif trouble == "empty":
        zipped(file)
    elif trouble == "half":
        zipped(file, Far_TRAIN=TRAIN)
    elif trouble == "unreadable":
        zipped(file, Far_TRAIN="nothing of the kind", Far_TEST=TEST)
    home = tmp_path / "here" / "own"
    with pytest.raises(DataError, match="data set 'Far' is not available and could not be downloaded") as caught:
        Archive("own").load("Far")
    assert f"Put Far_TRAIN.ts and Far_TEST.ts into {home / 'Far'}" in str(caught.value)
    assert not home.exists() or list(home.iterdir()) == []
    assert Archive("own").locate("Far") is None


def test_an_absent_set_is_explained_with_folder_files_and_close_names(tmp_path):
    put(tmp_path / "own", "GunPointAgeSpan")
    with pytest.raises(DataError) as caught:
        Archive(tmp_path / "own").load("GunPiont")
    text = str(caught.value)
    assert text.startswith("data set 'GunPiont' is not available and could not be downloaded (")
    assert text.endswith(
        f"). Put GunPiont_TRAIN.ts and GunPiont_TEST.ts into {tmp_path}/own/GunPiont, or name another folder by "
        "`archive:` in the recipe or TSBENCH_ARCHIVE. Names close to it, available: GunPoint, GunPointAgeSpan."
    )
    assert "\n" not in text


def test_all_that_is_missing_is_reported_at_once_and_one_download_is_tried(tmp_path):
    said = []
    with pytest.raises(DataError) as caught:
        Archive(tmp_path / "own").obtain_all(["GunPoint", "Far", "Further", "Furthest"], said.append)
    first, second = str(caught.value).splitlines()
    assert first.startswith("data set 'Far' is not available and could not be downloaded (")
    assert second == "Not available either, and not tried (2): Further, Furthest"
    assert said == [f"downloading Far (1 of 3) into {tmp_path}/own"]


def test_no_names_are_offered_where_none_is_close(tmp_path):
    with pytest.raises(DataError) as caught:
        Archive(tmp_path / "own").load("Qqqqqqqq")
    assert str(caught.value).endswith(
        f"or name another folder by `archive:` in the recipe or TSBENCH_ARCHIVE. Available: 9 in {SKTIME} "
        "(`tsbench datasets` lists them)."
    )


def test_the_reason_of_a_failed_download_is_given(tmp_path):
    with pytest.raises(DataError, match="Connection refused"):
        Archive(tmp_path / "own").load("Far")


def test_a_failed_download_leaves_no_empty_archive(tmp_path):
    with pytest.raises(DataError):
        Archive().load("Far")
    assert not (tmp_path / "here" / "datasets").exists()


def test_the_second_mirror_is_tried_where_the_first_fails(serve, monkeypatch):
    zipped(serve() / "Far.zip", Far_TRAIN=TRAIN, Far_TEST=TEST)
    monkeypatch.setattr(_data_io, "CLASSIF_URLS", ["http://127.0.0.1:9", *_data_io.CLASSIF_URLS])
    assert len(Archive("own").load("Far").train) == 3


def test_a_downloaded_set_that_only_our_reader_reads_is_kept(serve):
    bare = {"Far_TRAIN": TRAIN.removeprefix("@problemName Small\n"), "Far_TEST": TEST}
    zipped(serve() / "Far.zip", **bare)
    assert len(Archive("own").load("Far").train) == 3


def test_each_mirror_gives_its_reason_in_few_words(serve, monkeypatch):
    serve()
    mirrors = ["http://localhost:9", *_data_io.CLASSIF_URLS]
    monkeypatch.setattr(_data_io, "CLASSIF_URLS", mirrors)
    with pytest.raises(DataError) as caught:
        Archive("own").load("Far")
    assert "(localhost: Connection refused; 127.0.0.1: HTTP Error 404: File not found). Put " in str(caught.value)


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"Far_TRAIN": TRAIN}, "the download holds no Far_TEST.ts"),
        ({"Far_TRAIN": TRAIN, "Far_TEST": "1\n"}, "Far_TEST.ts:1: expected a header line"),
    ],
)
def test_a_mirror_whose_files_cannot_be_read_is_passed_over(tmp_path, serve, monkeypatch, files, reason):
    (tmp_path / "served" / "bad").mkdir()
    zipped(tmp_path / "served" / "bad" / "Far.zip", **files)
    served = serve()
    (good,) = _data_io.CLASSIF_URLS
    monkeypatch.setattr(_data_io, "CLASSIF_URLS", [f"{good}/bad", good])
    with pytest.raises(DataError, match=r"127\.0\.0\.1: HTTP Error 404"):
        Archive("own").load("Far")
    monkeypatch.setattr(_data_io, "CLASSIF_URLS", [f"{good}/bad"])
    with pytest.raises(DataError, match=rf"\(127\.0\.0\.1: {reason}"):
        Archive("own").load("Far")
    zipped(served / "Far.zip", Far_TRAIN=TRAIN, Far_TEST=TEST)
    monkeypatch.setattr(_data_io, "CLASSIF_URLS", [f"{good}/bad", good])
    assert len(Archive("own").load("Far").test) == 1


def test_a_folder_that_cannot_be_written_is_named(tmp_path, serve):
    zipped(serve() / "Far.zip", Far_TRAIN=TRAIN, Far_TEST=TEST)
    (tmp_path / "a file").write_text("")
    with pytest.raises(DataError) as caught:
        Archive(tmp_path / "a file" / "own").load("Far")
    assert f"({tmp_path}/a file/own cannot be written: Not a directory)" in str(caught.value)
