"""timm's classifiers."""
