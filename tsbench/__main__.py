"""`python -m tsbench` is the command `tsbench`."""

from tsbench.cli import app

app(prog_name="tsbench")
