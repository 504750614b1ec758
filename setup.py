"""What pyproject.toml cannot say: `datasets` and `recipes` are shipped as `tsbench.datasets` and `tsbench.recipes`."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["tsbench*"]), "tsbench.datasets", "tsbench.recipes"],
    package_dir={"tsbench.datasets": "datasets", "tsbench.recipes": "recipes"},
    package_data={
        "tsbench": ["py.typed", "comparisons/references/*", "comparisons/templates/*", "studies/portfolio.json"],
        "tsbench.datasets": ["*.csv"],
        "tsbench.recipes": ["quickstart.yaml"],
    },
)
