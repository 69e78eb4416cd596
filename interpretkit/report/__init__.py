"""From a run directory to a report."""
