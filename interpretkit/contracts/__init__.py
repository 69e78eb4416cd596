"""What plugins offer and get: bases, hooks, and the registry that finds them."""
