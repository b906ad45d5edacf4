"""Experiment trackers: told of the run by rank 0 (`fanout.py`), each in a process of its own (`process.py`)
at the end of a queue that training never waits for (`feed.py`)."""
