"""What others ask of the operator: reports of pods, reviews of the API server, health and metrics."""
