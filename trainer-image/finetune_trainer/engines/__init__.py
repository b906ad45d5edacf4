"""The registry of engines: one engine, one module.

To add one (LLaMA-Factory, say), write a class with a `train`, name it here, and let its value through in
`finetune_api/validation/capabilities.py`.
"""

from finetune_api.training import TrainingSpec
from finetune_trainer.engines.base import Engine
from finetune_trainer.engines.native import Native
from finetune_trainer.errors import InvalidConfigError

ENGINES: dict[str, Engine] = {"transformers": Native()}
"""By `training.engine`."""


def engine_for(training: TrainingSpec) -> Engine:
    """The engine of a job. Raises `InvalidConfigError`."""
    if training.engine not in ENGINES:
        raise InvalidConfigError(
            f"training.engine: {training.engine} is not in this image. Use one of {', '.join(ENGINES)}"
        )
    return ENGINES[training.engine]
