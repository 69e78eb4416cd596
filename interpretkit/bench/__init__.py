"""Attribution methods held against images of which it is known where to look, beside controls."""
