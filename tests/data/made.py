"""Small data sets for tests, and their files in every format."""

from pathlib import Path

import numpy as np
import pandas as pd

from tsbench.data.collection import Collection


def make_cases(cases=12, channels=2, steps=6, seed=0, unequal=False, groups=0):
    """Cases of classes `a` and `b`, values that text holds exactly."""
    random = np.random.default_rng(seed)
    values = np.round(random.normal(size=(cases, channels, steps)), 3)
    lengths = random.integers(2, steps + 1, cases) if unequal else np.full(cases, steps)
    if unequal:
        lengths[0] = steps
        values[np.broadcast_to(np.arange(steps) >= lengths[:, None, None], values.shape)] = 0
    labels = np.array(["a", "b"] * cases)[:cases]
    named = np.array([f"g{number % groups}" for number in range(cases)]) if groups else None
    return Collection(values, lengths.astype(np.int64), labels, named)


def long_table(cases: Collection) -> pd.DataFrame:
    rows = []
    for number, (case, label) in enumerate(zip(cases.cases(), cases.labels, strict=True)):
        for step in range(case.shape[1]):
            channels = {f"x{channel}": case[channel, step] for channel in range(case.shape[0])}
            group = {} if cases.groups is None else {"machine": cases.groups[number]}
            rows.append({"id": f"c{number}", "t": step, **channels, "y": label, **group})
    return pd.DataFrame(rows)


def write_ts(path: Path, cases: Collection) -> Path:
    lines = [f"{':'.join(','.join(map(str, row)) for row in case)}:{label}" for case, label in pairs(cases)]
    path.write_text("@classLabel true a b\n@data\n" + "\n".join(lines) + "\n")
    return path


def write_ucr(path: Path, cases: Collection) -> Path:
    """A width for all, shorter cases filled up with NaN, as in the archive."""
    lines = []
    for case, label in pairs(cases):
        values = [*map(str, case[0]), *["NaN"] * (cases.length - case.shape[1])]
        lines.append("\t".join([label, *values]))
    path.write_text("\n".join(lines) + "\n")
    return path


def write_arff(path: Path, cases: Collection) -> Path:
    steps = "\n".join(f"@attribute t{step} numeric" for step in range(cases.length))
    many = cases.channels > 1
    head = f"@attribute all relational\n{steps}\n@end all" if many else steps
    lines = []
    for case, label in pairs(cases):
        rows = [",".join([*map(str, row), *["?"] * (cases.length - len(row))]) for row in case]
        joined = "\\n".join(rows)
        lines.append(f"'{joined}',{label}" if many else f"{joined},{label}")
    path.write_text(f"@relation made\n{head}\n@attribute class {{a,b}}\n@data\n" + "\n".join(lines) + "\n")
    return path


def write_npz(path: Path, cases: Collection, **more) -> Path:
    np.savez(path, values=cases.values, labels=cases.labels, lengths=cases.lengths, **more)
    return path


def write_csv(path: Path, cases: Collection) -> Path:
    long_table(cases).to_csv(path, index=False)
    return path


def write_parquet(path: Path, cases: Collection) -> Path:
    long_table(cases).to_parquet(path, index=False)
    return path


def pairs(cases: Collection):
    return zip(cases.cases(), cases.labels, strict=True)
