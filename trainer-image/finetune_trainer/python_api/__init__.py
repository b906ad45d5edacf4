"""The trainer as a library: one's own torch Dataset of token ids, through the same engine as every job."""
