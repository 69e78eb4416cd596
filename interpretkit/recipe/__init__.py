"""YAML typed by a person, turned into a recipe that knows where each of its parts stands."""
