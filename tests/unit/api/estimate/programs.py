"""Programs that others measured, where several tables share one."""

from typing import Final

from finetune_api.estimate.program import Program

FIRST_FLASH_ATTENTION: Final = Program(attention_speed=0.325 / 0.52, one_kernel_activation=True)
"""Programs from before July 2023: FlashAttention reached 25 to 40 % of an A100's peak (Dao 2023,
FlashAttention-2, abstract); its successor is taken to reach 52 %, which is 0.6 of the best product."""
PLAIN_LOOP: Final = Program(autocasting=False, outputs_held=True)
"""A loop of a few lines: no autocast, and the outputs are a local variable."""
