"""The doctor: is the storage folder whole, and what of it can be mended."""
