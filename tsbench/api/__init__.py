"""The Python API: the commands as functions. The command line calls them too."""
