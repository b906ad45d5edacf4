"""`check-data`: what a job would train on, without a model: counted, measured, shown."""
