"""Checkpoints that are whole or not there, and how another layout goes on from them."""
