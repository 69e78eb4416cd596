"""The only folder that hooks a network: calls recorded, replaced or listed, in one pass."""
