"""What `tsbench` offers to Python: the verbs of the command line as functions. The commands call them too."""
