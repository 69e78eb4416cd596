"""Images: found, read, and turned into batches."""
