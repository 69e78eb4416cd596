"""Weights: where they come from, how they are read, and how they get into a network."""
