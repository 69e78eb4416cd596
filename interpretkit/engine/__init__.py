"""From a recipe to a sealed run, a file for each stretch of the way."""
