"""Policy: what a user writes stays data."""

from __future__ import annotations


def literal(text: str) -> str:
    """`text` so that the process gets exactly it.

    kubelet expands `$(NAME)` in commands, arguments and environment values, and turns `$$` into `$`. Doubling
    every dollar is the exact inverse of that, also where no name follows.
    """
    return text.replace("$", "$$")
