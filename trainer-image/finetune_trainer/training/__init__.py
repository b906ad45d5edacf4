"""The loop: what happens in a step and between two, with which optimizer, loss and guards."""
