"""A network that can be looked into: layers, preprocessing, what it returns, where its weights come from."""
