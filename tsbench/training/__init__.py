"""Training networks: epochs in lockstep over a list of jobs, schedules and losses; torch and NumPy only."""
