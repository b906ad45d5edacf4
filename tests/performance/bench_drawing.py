"""The answers to an optimizer step of grpo, drawn for all micro-batches at once and one by one, in turns.

    python tests/performance/bench_drawing.py                # keep the machine quiet meanwhile

Exit status 1 when at once is not at least twice as fast.
"""

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from trainer_bench.options import rounds_asked
from trainer_bench.workload import make_model

MICRO_BATCHES = 8
"""Of one prompt each."""
TOKENS = 128
"""Of each answer: an untrained model hardly ever ends one before."""
LEAST = 2.0


def main() -> int:
    """Prints both times and their ratio."""
    rounds = rounds_asked(__doc__)
    with tempfile.TemporaryDirectory(prefix="finetune-bench-") as directory:
        seconds = measure(make_model(Path(directory) / "model"), rounds)
    one_by_one, at_once = (median(seconds[together]) for together in (1, MICRO_BATCHES))
    ratio = one_by_one / at_once
    print(
        f"{MICRO_BATCHES} answers of {TOKENS} tokens: {one_by_one:.2f} s one by one, "
        f"{at_once:.2f} s at once: {ratio:.2f} times as fast (target >= {LEAST:g})"
    )
    return 0 if ratio >= LEAST else 1


def measure(place: Path, rounds: int) -> dict[int, list[float]]:
    """Seconds for all answers, by how many micro-batches are answered at once."""
    import torch
    from accelerate import Accelerator
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from finetune_api.stages import SamplingSpec
    from finetune_trainer.stages.rollouts import Sampler

    model = AutoModelForCausalLM.from_pretrained(place).eval()
    tokenizer: Any = AutoTokenizer.from_pretrained(place)
    tokenizer.chat_template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    sampler = Sampler(model, tokenizer, SamplingSpec(max_new_tokens=TOKENS), Accelerator(cpu=True), seed=1)
    prompt = torch.arange(1, 65).unsqueeze(0)
    batch = {"input_ids": prompt, "attention_mask": torch.ones_like(prompt), "expected": [""]}
    seconds: dict[int, list[float]] = {1: [], MICRO_BATCHES: []}
    for number in range(rounds):
        for together in sorted(seconds, reverse=number % 2 == 0):
            begun = time.perf_counter()
            drawn = replace(sampler, together=together).draw([batch] * MICRO_BATCHES, number)
            seconds[together].append(time.perf_counter() - begun)
            assert len(drawn) == MICRO_BATCHES
    return seconds


if __name__ == "__main__":
    raise SystemExit(main())
