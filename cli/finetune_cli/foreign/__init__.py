"""Configurations of other programs: one table per format, the same one to read and to write."""
