"""Measurements on a Tesla T4 by the authors of fitcheck-llm 0.3.1 (MIT), as published in its source archive
(`data/measurements/`, sessions of 2026-09-15, 16 and 21): transformers 5.0 and 5.17, PEFT 0.19 and 0.20,
bitsandbytes, fp16 in a plain loop, checkpointing, LoRA on q, k, v and o, one row per configuration."""

from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True)
class T4Run:
    """One run; memory in MiB."""

    model: str
    quantization: Literal["none", "nf4"]
    attention: Literal["eager", "sdpa"]
    batch: int
    length: int
    allocated: int
    """torch's `max_memory_allocated`."""
    device: int
    """What the process held of the device."""
    seconds: float
    """Of one step."""


RANK_32: Final = (
    T4Run("HuggingFaceTB/SmolLM2-1.7B", "nf4", "eager", 1, 2048, 4323, 4961, 3.65),
    T4Run("HuggingFaceTB/SmolLM2-1.7B", "nf4", "eager", 4, 1024, 5297, 7137, 6.79),
    T4Run("HuggingFaceTB/SmolLM2-1.7B", "nf4", "sdpa", 1, 2048, 3346, 3937, 2.52),
    T4Run("HuggingFaceTB/SmolLM2-1.7B", "nf4", "sdpa", 4, 1024, 5281, 6081, 5.13),
    T4Run("HuggingFaceTB/SmolLM2-1.7B", "none", "eager", 1, 2048, 5706, 7287, 2.71),
    T4Run("HuggingFaceTB/SmolLM2-1.7B", "none", "eager", 4, 1024, 6537, 7875, 4.84),
    T4Run("HuggingFaceTB/SmolLM2-1.7B", "none", "sdpa", 1, 2048, 4977, 5539, 1.48),
    T4Run("HuggingFaceTB/SmolLM2-1.7B", "none", "sdpa", 4, 1024, 6529, 7235, 3.71),
    T4Run("HuggingFaceTB/SmolLM2-135M", "nf4", "eager", 1, 4096, 3679, 5365, 3.69),
    T4Run("HuggingFaceTB/SmolLM2-135M", "nf4", "eager", 2, 512, 1067, 1333, 0.42),
    T4Run("HuggingFaceTB/SmolLM2-135M", "nf4", "sdpa", 1, 4096, 3577, 3925, 1.98),
    T4Run("HuggingFaceTB/SmolLM2-135M", "nf4", "sdpa", 2, 512, 1064, 1335, 0.36),
    T4Run("HuggingFaceTB/SmolLM2-135M", "none", "eager", 1, 4096, 3180, 4617, 2.49),
    T4Run("HuggingFaceTB/SmolLM2-135M", "none", "eager", 2, 512, 1027, 1245, 0.28),
    T4Run("HuggingFaceTB/SmolLM2-135M", "none", "sdpa", 1, 4096, 3148, 3425, 0.83),
    T4Run("HuggingFaceTB/SmolLM2-135M", "none", "sdpa", 2, 512, 1027, 1211, 0.27),
    T4Run("HuggingFaceTB/SmolLM2-360M", "nf4", "eager", 1, 4096, 5687, 8305, 6.22),
    T4Run("HuggingFaceTB/SmolLM2-360M", "nf4", "sdpa", 1, 4096, 4018, 4659, 3.61),
    T4Run("HuggingFaceTB/SmolLM2-360M", "none", "eager", 1, 4096, 4909, 7445, 4.31),
    T4Run("HuggingFaceTB/SmolLM2-360M", "none", "sdpa", 1, 4096, 3755, 4053, 1.53),
    T4Run("Qwen/Qwen2.5-1.5B-Instruct", "nf4", "eager", 1, 2048, 6850, 7725, 2.74),
    T4Run("Qwen/Qwen2.5-1.5B-Instruct", "nf4", "eager", 2, 1024, 6839, 7689, 2.69),
    T4Run("Qwen/Qwen2.5-1.5B-Instruct", "nf4", "sdpa", 1, 2048, 6831, 7745, 2.37),
    T4Run("Qwen/Qwen2.5-1.5B-Instruct", "nf4", "sdpa", 2, 1024, 6828, 7541, 2.59),
    T4Run("Qwen/Qwen2.5-1.5B-Instruct", "none", "eager", 1, 2048, 7410, 8263, 1.57),
    T4Run("Qwen/Qwen2.5-1.5B-Instruct", "none", "eager", 2, 1024, 7406, 8051, 1.35),
    T4Run("Qwen/Qwen2.5-1.5B-Instruct", "none", "sdpa", 1, 2048, 7402, 7907, 1.21),
    T4Run("Qwen/Qwen2.5-1.5B-Instruct", "none", "sdpa", 2, 1024, 7402, 7907, 1.51),
    T4Run("TinyLlama/TinyLlama-1.1B-Chat-v1.0", "nf4", "eager", 1, 1024, 2020, 2497, 1.07),
    T4Run("TinyLlama/TinyLlama-1.1B-Chat-v1.0", "nf4", "eager", 2, 512, 1850, 2357, 0.82),
    T4Run("TinyLlama/TinyLlama-1.1B-Chat-v1.0", "nf4", "eager", 2, 1024, 2876, 3807, 2.03),
    T4Run("TinyLlama/TinyLlama-1.1B-Chat-v1.0", "nf4", "eager", 2, 2048, 6651, 7981, 6.10),
    T4Run("TinyLlama/TinyLlama-1.1B-Chat-v1.0", "nf4", "eager", 4, 1024, 4590, 6313, 4.20),
    T4Run("TinyLlama/TinyLlama-1.1B-Chat-v1.0", "nf4", "eager", 8, 1024, 8018, 11173, 8.69),
    T4Run("TinyLlama/TinyLlama-1.1B-Chat-v1.0", "nf4", "sdpa", 1, 1024, 1843, 2175, 0.81),
    T4Run("TinyLlama/TinyLlama-1.1B-Chat-v1.0", "nf4", "sdpa", 2, 512, 1849, 2195, 0.82),
    T4Run("TinyLlama/TinyLlama-1.1B-Chat-v1.0", "nf4", "sdpa", 2, 1024, 2532, 3037, 1.76),
    T4Run("TinyLlama/TinyLlama-1.1B-Chat-v1.0", "nf4", "sdpa", 2, 2048, 3896, 4891, 4.55),
    T4Run("TinyLlama/TinyLlama-1.1B-Chat-v1.0", "nf4", "sdpa", 4, 1024, 3896, 5027, 3.08),
    T4Run("TinyLlama/TinyLlama-1.1B-Chat-v1.0", "nf4", "sdpa", 8, 1024, 6632, 8179, 6.17),
    T4Run("TinyLlama/TinyLlama-1.1B-Chat-v1.0", "nf4", "sdpa", 12, 1024, 9372, 11399, 9.87),
    T4Run("TinyLlama/TinyLlama-1.1B-Chat-v1.0", "none", "eager", 2, 512, 2757, 3049, 0.60),
    T4Run("TinyLlama/TinyLlama-1.1B-Chat-v1.0", "none", "eager", 2, 1024, 3518, 4367, 1.42),
    T4Run("TinyLlama/TinyLlama-1.1B-Chat-v1.0", "none", "eager", 2, 2048, 6616, 7803, 4.47),
    T4Run("TinyLlama/TinyLlama-1.1B-Chat-v1.0", "none", "sdpa", 2, 512, 2756, 3021, 0.55),
    T4Run("TinyLlama/TinyLlama-1.1B-Chat-v1.0", "none", "sdpa", 2, 1024, 3288, 3673, 1.15),
    T4Run("TinyLlama/TinyLlama-1.1B-Chat-v1.0", "none", "sdpa", 2, 2048, 4354, 4837, 2.62),
)
"""Rank 32. The formulas of eager attention and of the allocator were found with these."""

RANK_16: Final = (
    T4Run("Qwen/Qwen2.5-7B-Instruct", "nf4", "eager", 1, 1024, 10585, 11887, 3.91),
    T4Run("Qwen/Qwen2.5-7B-Instruct", "nf4", "sdpa", 1, 1024, 10586, 12021, 3.72),
    T4Run("Qwen/Qwen2.5-Coder-1.5B-Instruct", "nf4", "eager", 1, 1024, 4236, 5201, 1.22),
    T4Run("Qwen/Qwen2.5-Coder-1.5B-Instruct", "nf4", "sdpa", 1, 1024, 4235, 5353, 1.15),
    T4Run("deepseek-ai/deepseek-coder-1.3b-instruct", "nf4", "eager", 1, 1024, 1975, 2415, 1.11),
    T4Run("deepseek-ai/deepseek-coder-1.3b-instruct", "nf4", "sdpa", 1, 1024, 1972, 2313, 1.00),
    T4Run("meta-llama/Llama-3.2-1B-Instruct", "nf4", "eager", 1, 1024, 3728, 4199, 1.05),
    T4Run("meta-llama/Llama-3.2-1B-Instruct", "nf4", "sdpa", 1, 1024, 3723, 4167, 0.87),
    T4Run("meta-llama/Llama-3.2-3B-Instruct", "nf4", "eager", 1, 1024, 5499, 6353, 2.49),
    T4Run("meta-llama/Llama-3.2-3B-Instruct", "nf4", "sdpa", 1, 1024, 5495, 6409, 2.28),
    T4Run("mistralai/Mistral-7B-Instruct-v0.3", "nf4", "eager", 1, 1024, 6191, 6881, 4.07),
    T4Run("mistralai/Mistral-7B-Instruct-v0.3", "nf4", "sdpa", 1, 1024, 6056, 6541, 3.90),
)
"""Rank 16: the archive's hold-out."""
