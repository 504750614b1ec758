"""The network's blocks and the network built from them; torch and NumPy only.

Every block takes `valid`, a bool tensor of shape (cases, time steps) that is False on padded steps, or None if all
cases have the full length. Padded steps never reach a statistic, an attention weight or a pool.
"""
