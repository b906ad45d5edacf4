"""Trains the model of one resolved job: data, model, training, checkpoints, output."""
