"""FineTuneJobs on a cluster. The Kubernetes client is imported by `client.py` only, when a verb needs it."""
