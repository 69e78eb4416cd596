"""A run directory turned into one HTML page; it reads the run and nothing else."""
