"""The model: made or loaded, its tokenizer, its arithmetic, and the kernels that run it."""
