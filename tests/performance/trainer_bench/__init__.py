"""What `bench_trainer.py` measures, and how."""
