"""What pyproject.toml cannot say: the repository's `datasets/` is shipped as the package `tsbench.datasets`."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["tsbench*"]), "tsbench.datasets"],
    package_dir={"tsbench.datasets": "datasets"},
    package_data={
        "tsbench": ["py.typed", "compare/references/*", "compare/templates/*"],
        "tsbench.datasets": ["*.csv"],
    },
)
