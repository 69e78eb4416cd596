"""How what a network returns is read: which targets there are, the score of each, and what is said of it."""
