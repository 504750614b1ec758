"""tsbench: declarative AutoML and honest benchmarking for time series classification."""

__all__ = ["__version__"]

__version__ = "0.1.0"
