import time

import pytest

from tsbench.errors import RecipeError, TrackingError
from tsbench.redaction import redacted, redacted_tree

SECRET = "s3cr3t-Xy9"

ADDRESSES = [
    f"postgresql://me:{SECRET}@db:5432/x",
    f"postgresql://me:{SECRET}/with#and?and@more@db/x",
    f"postgresql://me:my {SECRET} word@db/x",
    f"postgresql://{SECRET}@db/x",
    f"https://{SECRET}@host/path",
    f"https://{SECRET}:x-oauth-basic@host/path",
    f"http://u:{SECRET}@[::1]:5000/x",
    f"http://host/path?token={SECRET}",
    f"http://host/path?a=1&Password={SECRET}&b=2",
    f"http://host/path?%74oken={SECRET}",
    f"http://host/?X-Amz-Signature={SECRET}",
    f"http://host/#access_token={SECRET}",
    f"http://host/?next=http%3A%2F%2Fother%2F%3Ftoken%3D{SECRET}",
    f"postgresql%3A%2F%2Fme%3A{SECRET}%40db%2Fx",
    f"mssql+pyodbc:///?odbc_connect=DRIVER%3Dx%3BPWD%3D{SECRET}%3BDATABASE%3Dy",
    f"me:{SECRET}@db:5432/x",
    f"me:{SECRET}%40db",
    f"{SECRET}@db:5432/x",
    f"postgresql//me:{SECRET}@db/x",
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_no_shape_of_an_address_shows_its_secret(address: str) -> None:
    for text in (
        address,
        f"the store {address!r} failed",
        f"--set tracking.uri={address} tracking.uri: is wrong",
        f"{{'uri': {address!r}}}",
        f"sqlite:///mlflow.db and {address}",
        f"{address},{ADDRESSES[0]}",
    ):
        assert SECRET not in redacted(text)
        assert redacted(redacted(text)) == redacted(text)


def test_settings_and_headers_are_hidden() -> None:
    assert redacted(f"host=h password={SECRET} dbname=x") == "host=h password=*** dbname=x"
    assert redacted(f"{{'password': '{SECRET} {SECRET}', 'x': 1}}") == "{'password': '***', 'x': 1}"
    assert SECRET not in redacted(f"Authorization: Bearer {SECRET}{SECRET}")
    assert redacted("bad token ghp_0123456789abcdef") == "bad token ***"


def test_what_may_be_shown_stays() -> None:
    for text in (
        "sqlite:///mlflow.db",
        "sqlite:////home/me:x@work/mlflow.db?timeout=5",
        "http://127.0.0.1:5000/x@y is a page",
        "http://[::1]:5000",
        "http://[1:5000",
        "http://127.0.0.1:5000/#/experiments/1/runs?viewStateShareKey=tsbench-leaderboard",
        "models:/GunPoint@best has no file data@v1.csv",
        "expected KEY=VALUE, such as search.trials=30",
        "recipe.yaml:12:5 search.trails: unknown key; did you mean 'trials'?",
        "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, in the environment",
    ):
        assert redacted(text) == text
    assert redacted(f"postgresql://me:{SECRET}@db:5432/x") == "postgresql://me:***@db:5432/x"


def test_a_known_address_s_secrets_are_hidden_wherever_they_stand() -> None:
    address = "postgresql://me:p%40ss-word@db/x"
    assert redacted("the server did not take 'p@ss-word' of me", address) == "the server did not take '***' of me"
    assert redacted("label me: p%40ss-word", address) == "label me: ***"


def test_errors_and_trees_hide_what_they_are_given() -> None:
    assert str(TrackingError(f"http://u:{SECRET}@h is away")) == "http://u:***@h is away"
    error = RecipeError([f"r.yaml:1:1 http://h/?token={SECRET}", "r.yaml:2:1 name: is wrong"])
    assert SECRET not in "".join((str(error), *error.problems, repr(error)))
    tree = {"slurm": {"setup": [f"export API_TOKEN={SECRET}"], "password": SECRET}, "n": 3, "token": 4}
    hidden = redacted_tree(tree)
    assert SECRET not in str(hidden)
    assert (hidden["n"], hidden["token"]) == (3, 4)


@pytest.mark.parametrize("text", ["a", "a:", "a@", "token=", "http://", "a:@", "%3A%40", "?a=", "x://a:b c "])
def test_long_texts_take_no_long_time(text: str) -> None:
    start = time.perf_counter()
    redacted(text * (50_000 // len(text)))
    assert time.perf_counter() - start < 5
