"""Checking results in a folder, of this node or of another make, without the findings that they were made from."""
