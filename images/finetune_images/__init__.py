"""Builds the project's container images and brings them to the node, moving only what changed."""
