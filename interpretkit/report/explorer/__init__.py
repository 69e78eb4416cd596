"""The explorer: a run's maps as numbers in its report, coloured in the browser."""
