"""The verbs of `finetune`, one module each: `configure` adds its arguments, `run` does it."""
