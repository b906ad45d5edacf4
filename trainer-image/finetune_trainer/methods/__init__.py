"""Which weights are trained: adapters on a frozen base, some of the model's own weights, or all of them.

`prepare_method` does once what needs the whole base in memory, and leaves it in the run directory: every rank
and every later attempt then starts from the same files. `apply_method` makes the loaded base trainable, and
`reload_trained` makes a trained adapter and its base one model again.
"""

from finetune_trainer.methods.adapters import name_revision
from finetune_trainer.methods.apply import apply_method
from finetune_trainer.methods.decomposition import make_ordinary
from finetune_trainer.methods.prepare import prepare_method
from finetune_trainer.methods.reload import reload_trained
from finetune_trainer.methods.start import Start

__all__ = ["Start", "apply_method", "make_ordinary", "name_revision", "prepare_method", "reload_trained"]
