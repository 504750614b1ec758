"""Sessions of pinned versions: tests, coverage, lint, types and docs; measurements and pictures."""

import nox

nox.options.sessions = ["tests", "lint", "types"]
nox.options.default_venv_backend = "venv"
nox.options.reuse_existing_virtualenvs = True

PINNED = ("-c", "constraints.txt")

FLOOR = "--cov-fail-under=92"
"""Percent of lines and branches that the default suite must run; raised as the suite grows, never lowered."""


def install(session: nox.Session, *extras: str) -> None:
    session.install(*PINNED, "-e", f".[{','.join(extras)}]")


@nox.session
def tests(session: nox.Session) -> None:
    """The default suite, two tests at a time; arguments go to pytest."""
    install(session, "test")
    session.run("pytest", "-n", "2", "--dist", "worksteal", "--durations=25", *session.posargs)


@nox.session(venv_backend="none")
def slow(session: nox.Session) -> None:
    """The tests marked slow and not nightly, in the environment of `tests`."""
    session.notify("tests", ["-m", "slow and not nightly", *session.posargs])


@nox.session(venv_backend="none")
def nightly(session: nox.Session) -> None:
    """The tests that take more than half a minute each: clusters, servers that restart, searches that are killed."""
    session.notify("tests", ["-m", "nightly", *session.posargs])


@nox.session
def cuda(session: nox.Session) -> None:
    """The tests marked cuda, on a machine that has one."""
    install(session, "test")
    session.run("pytest", "-m", "cuda", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Format, lint, and the direction of imports between rooms; all read the source alone."""
    session.install(*PINNED, "ruff", "import-linter")
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")
    session.run("lint-imports")


@nox.session
def types(session: nox.Session) -> None:
    """mypy, strict, on the package."""
    install(session, "lint")
    session.run("mypy")


@nox.session
def coverage(session: nox.Session) -> None:
    """The default suite with the lines and branches that it runs, those of child processes included.

    It fails below the floor; with arguments that choose some tests, add `--cov-fail-under=0`.
    """
    install(session, "test")
    session.install(*PINNED, "pytest-cov")
    session.run(
        "pytest", "-n", "2", "--dist", "worksteal", "--cov", "--cov-report=term:skip-covered", FLOOR, *session.posargs
    )


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation, in build/site; every link and anchor is checked, and nothing is fetched."""
    install(session, "docs")
    session.run("python", "docs/generate.py", "build/docs")
    session.run("zensical", "build", "--clean", "--strict", "-f", "mkdocs.yml")


@nox.session
def bench(session: nox.Session) -> None:
    """Measures speed, and writes the table in docs/benchmarks.md; nothing else should run meanwhile."""
    install(session, "test")
    session.run("python", "-m", "tests.benchmarks", *session.posargs)


@nox.session
def chaos(session: nox.Session) -> None:
    """Faults at random moments on real searches; writes docs/reliability.md. `--faults 6` is a short run."""
    install(session, "test")
    session.run("python", "-m", "tests.chaos", *session.posargs)


@nox.session
def screenshots(session: nox.Session) -> None:
    """README's pictures of MLflow's page, taken with the system's Chromium; look at each of them."""
    install(session, "test")
    session.run("python", "-m", "tests.screenshots")
