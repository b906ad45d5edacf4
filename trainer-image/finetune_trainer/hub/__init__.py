"""The Hugging Face hub: pushes of results and of checkpoints, and what it says when it refuses."""
