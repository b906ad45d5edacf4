"""Data and settings of each stage, of eight records."""

from typing import Any

SAMPLING = {"sampling": {"maxNewTokens": 4}}
ASKED = [
    {"prompt": f"add {number} and 1", "chosen": str(number + 1), "rejected": "no"} for number in range(8)
]
ANSWERED = [{"instruction": f"add {number} and 1", "output": str(number + 1)} for number in range(8)]
LABELLED = [record | {"label": number % 3 == 0} for number, record in enumerate(ANSWERED)]
TOLD = [{"text": record["instruction"] * 9} for record in ANSWERED]

Case = tuple[str, list[dict[str, Any]], dict[str, Any]]

STAGES: dict[str, Case] = {
    "sft": ("alpaca", ANSWERED, {}),
    "pretrain": ("text", TOLD, {}),
    "rm": ("preference", ASKED, {}),
    "dpo": ("preference", ASKED, {}),
    "kto": ("alpaca", LABELLED, {}),
    "grpo": ("alpaca", ANSWERED, {"grpo": {"rewardFunctions": ["brevity"], "groupSize": 2} | SAMPLING}),
    "ppo": ("alpaca", ANSWERED, {"ppo": {"rewardModelPath": "judge"} | SAMPLING}),
}
"""Format, records and settings of `training`, by `training.stage`."""
