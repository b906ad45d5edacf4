"""A changed copy of a frozen model, validated like the original."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel

Model = TypeVar("Model", bound=BaseModel)


def revised(model: Model, **changes: Any) -> Model:
    """`model` with these fields (by their Python names) replaced; None takes a value away.

    Unlike `model_copy` this validates, so that what is decided compares equal to what is read back later.
    Raises `pydantic.ValidationError`.
    """
    return type(model).model_validate({**dict(model), **changes})
