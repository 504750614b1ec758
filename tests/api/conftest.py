from tests.cli.conftest import searched

__all__ = ["searched"]
