"""What becomes of a trained model: export, merge, card, pushes, and its answers."""
