"""`make demo`: from nothing to a tuned model on a real cluster, with what it learned shown side by side."""
