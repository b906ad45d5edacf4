"""The operator: watches FineTuneJobs, decides what is next (`decide.py`), and writes it to the cluster."""
