"""The curated models. Any other id of the hub, or a path, works too; these are known in numbers.

Numbers are those of each model's `config.json` on the hub; `published` is the parameter count on its model
card (safetensors metadata), with which a test compares the count that follows from the architecture.
"""

from dataclasses import dataclass
from typing import Final

from finetune_api.catalog.architecture import Architecture


@dataclass(frozen=True)
class CatalogModel:
    """A model of the catalog."""

    id: str
    """Id on the Hugging Face hub."""
    name: str
    published: int
    """Parameters, as published."""
    architecture: Architecture
    licence: str
    gated: bool = False
    """Whether the hub asks for consent and a token."""
    chat_template: str | None = None
    """Name of the chat template that the model was trained with; None for base models."""
    aliases: tuple[str, ...] = ()
    """Ids of models with the same architecture: base and chat versions, older names."""

    @property
    def target_modules(self) -> tuple[str, ...]:
        """Names of the linear layers that adapters can target, each once."""
        return tuple(dict.fromkeys(linear.name for linear in self.architecture.linears))


def _llama(
    hidden: int, layers: int, heads: int, kv: int, ffn: int, vocab: int, context: int, tied: bool = False
) -> Architecture:
    return Architecture("llama", hidden, layers, heads, kv, hidden // heads, ffn, vocab, context, tied)


def _qwen2(
    hidden: int, layers: int, heads: int, kv: int, ffn: int, vocab: int, tied: bool, context: int = 32768
) -> Architecture:
    return Architecture("qwen2", hidden, layers, heads, kv, hidden // heads, ffn, vocab, context, tied)


def _qwen3(hidden: int, layers: int, heads: int, ffn: int, tied: bool) -> Architecture:
    return Architecture("qwen3", hidden, layers, heads, 8, 128, ffn, 151936, 40960, tied)


def _gpt2(hidden: int, layers: int, heads: int) -> Architecture:
    return Architecture(
        "gpt2", hidden, layers, heads, heads, hidden // heads, 4 * hidden, 50257, 1024, tied=True
    )


_LORA_SERVICE: Final = (
    CatalogModel(
        "meta-llama/Llama-2-7b-chat-hf", "Llama 2 7B", 6_738_415_616,
        _llama(4096, 32, 32, 32, 11008, 32000, 4096), "llama2", True, "llama2", ("meta-llama/Llama-2-7b-hf",),
    ),
    CatalogModel(
        "meta-llama/Llama-2-13b-chat-hf", "Llama 2 13B", 13_015_864_320,
        _llama(5120, 40, 40, 40, 13824, 32000, 4096), "llama2", True, "llama2",
        ("meta-llama/Llama-2-13b-hf",),
    ),
    CatalogModel(
        "mistralai/Mistral-7B-Instruct-v0.3", "Mistral 7B v0.3", 7_248_023_552,
        Architecture("mistral", 4096, 32, 32, 8, 128, 14336, 32768, 32768), "apache-2.0", False, "mistral",
        ("mistralai/Mistral-7B-v0.3",),
    ),
    CatalogModel(
        "microsoft/phi-2", "Phi-2", 2_779_683_840,
        Architecture("phi", 2560, 32, 32, 32, 80, 10240, 51200, 2048), "mit",
    ),
    CatalogModel(
        "google/gemma-7b-it", "Gemma 7B", 8_537_680_896,
        Architecture("gemma", 3072, 28, 16, 16, 256, 24576, 256000, 8192, tied=True), "gemma", True, "gemma",
        ("google/gemma-7b", "google/gemma-1.1-7b-it"),
    ),
    CatalogModel(
        "TinyLlama/TinyLlama-1.1B-Chat-v1.0", "TinyLlama 1.1B", 1_100_048_384,
        _llama(2048, 22, 32, 4, 5632, 32000, 2048), "apache-2.0", False, "zephyr",
        ("TinyLlama/TinyLlama-1.1B-intermediate-step-1431k-3T",),
    ),
)  # fmt: skip

_LLAMA: Final = (
    CatalogModel(
        "meta-llama/Llama-2-70b-chat-hf", "Llama 2 70B", 68_976_648_192,
        _llama(8192, 80, 64, 8, 28672, 32000, 4096), "llama2", True, "llama2", ("meta-llama/Llama-2-70b-hf",),
    ),
    CatalogModel(
        "meta-llama/Meta-Llama-3-8B-Instruct", "Llama 3 8B", 8_030_261_248,
        _llama(4096, 32, 32, 8, 14336, 128256, 8192), "llama3", True, "llama3",
        ("meta-llama/Meta-Llama-3-8B",),
    ),
    CatalogModel(
        "meta-llama/Meta-Llama-3-70B-Instruct", "Llama 3 70B", 70_553_706_496,
        _llama(8192, 80, 64, 8, 28672, 128256, 8192), "llama3", True, "llama3",
        ("meta-llama/Meta-Llama-3-70B",),
    ),
    CatalogModel(
        "meta-llama/Llama-3.1-8B-Instruct", "Llama 3.1 8B", 8_030_261_248,
        _llama(4096, 32, 32, 8, 14336, 128256, 131072), "llama3.1", True, "llama3",
        ("meta-llama/Llama-3.1-8B", "meta-llama/Meta-Llama-3.1-8B", "meta-llama/Meta-Llama-3.1-8B-Instruct"),
    ),
    CatalogModel(
        "meta-llama/Llama-3.1-70B-Instruct", "Llama 3.1 70B", 70_553_706_496,
        _llama(8192, 80, 64, 8, 28672, 128256, 131072), "llama3.1", True, "llama3",
        (
            "meta-llama/Llama-3.1-70B", "meta-llama/Llama-3.3-70B-Instruct",
            "meta-llama/Meta-Llama-3.1-70B", "meta-llama/Meta-Llama-3.1-70B-Instruct",
        ),
    ),
    CatalogModel(
        "meta-llama/Llama-3.1-405B-Instruct", "Llama 3.1 405B", 405_853_388_800,
        _llama(16384, 126, 128, 8, 53248, 128256, 131072), "llama3.1", True, "llama3",
        ("meta-llama/Llama-3.1-405B",),
    ),
    CatalogModel(
        "meta-llama/Llama-3.2-1B-Instruct", "Llama 3.2 1B", 1_235_814_400,
        _llama(2048, 16, 32, 8, 8192, 128256, 131072, tied=True), "llama3.2", True, "llama3",
        ("meta-llama/Llama-3.2-1B",),
    ),
    CatalogModel(
        "meta-llama/Llama-3.2-3B-Instruct", "Llama 3.2 3B", 3_212_749_824,
        _llama(3072, 28, 24, 8, 8192, 128256, 131072, tied=True), "llama3.2", True, "llama3",
        ("meta-llama/Llama-3.2-3B",),
    ),
)  # fmt: skip

_QWEN: Final = (
    *(
        CatalogModel(
            f"Qwen/Qwen2.5-{size}-Instruct", f"Qwen 2.5 {size}", count, architecture, licence, False,
            "chatml",
            (
                f"Qwen/Qwen2.5-{size}", f"Qwen/Qwen2.5-Coder-{size}", f"Qwen/Qwen2.5-Coder-{size}-Instruct",
            ),
        )
        for size, count, licence, architecture in (
            ("0.5B", 494_032_768, "apache-2.0", _qwen2(896, 24, 14, 2, 4864, 151936, True)),
            ("1.5B", 1_543_714_304, "apache-2.0", _qwen2(1536, 28, 12, 2, 8960, 151936, True)),
            ("3B", 3_085_938_688, "qwen-research", _qwen2(2048, 36, 16, 2, 11008, 151936, True)),
            ("7B", 7_615_616_512, "apache-2.0", _qwen2(3584, 28, 28, 4, 18944, 152064, False)),
            ("14B", 14_770_033_664, "apache-2.0", _qwen2(5120, 48, 40, 8, 13824, 152064, False)),
            ("32B", 32_763_876_352, "apache-2.0", _qwen2(5120, 64, 40, 8, 27648, 152064, False)),
            ("72B", 72_706_203_648, "qwen", _qwen2(8192, 80, 64, 8, 29568, 152064, False)),
        )
    ),
    *(
        CatalogModel(
            f"Qwen/Qwen3-{size}", f"Qwen 3 {size}", count, architecture, "apache-2.0", False, "chatml",
            () if size == "32B" else (f"Qwen/Qwen3-{size}-Base",),
        )
        for size, count, architecture in (
            ("0.6B", 596_049_920, _qwen3(1024, 28, 16, 3072, True)),
            ("1.7B", 1_720_574_976, _qwen3(2048, 28, 16, 6144, True)),
            ("4B", 4_022_468_096, _qwen3(2560, 36, 32, 9728, True)),
            ("8B", 8_190_735_360, _qwen3(4096, 36, 32, 12288, False)),
            ("14B", 14_768_307_200, _qwen3(5120, 40, 40, 17408, False)),
            ("32B", 32_762_123_264, _qwen3(5120, 64, 64, 25600, False)),
        )
    ),
    CatalogModel(
        "Qwen/Qwen3-30B-A3B", "Qwen 3 30B-A3B", 30_532_122_624,
        Architecture("qwen3_moe", 2048, 48, 32, 4, 128, 768, 151936, 40960, False, 128, 8),
        "apache-2.0", False, "chatml", ("Qwen/Qwen3-30B-A3B-Base",),
    ),
)  # fmt: skip

_OTHERS: Final = (
    CatalogModel(
        "mistralai/Mistral-7B-Instruct-v0.2", "Mistral 7B v0.1", 7_241_732_096,
        Architecture("mistral", 4096, 32, 32, 8, 128, 14336, 32000, 32768), "apache-2.0", False, "mistral",
        ("mistralai/Mistral-7B-v0.1", "mistralai/Mistral-7B-Instruct-v0.1"),
    ),
    CatalogModel(
        "mistralai/Mistral-Nemo-Instruct-2407", "Mistral Nemo 12B", 12_247_782_400,
        Architecture("mistral", 5120, 40, 32, 8, 128, 14336, 131072, 131072), "apache-2.0", False, "mistral",
        ("mistralai/Mistral-Nemo-Base-2407",),
    ),
    CatalogModel(
        "mistralai/Mixtral-8x7B-Instruct-v0.1", "Mixtral 8x7B", 46_702_792_704,
        Architecture("mixtral", 4096, 32, 32, 8, 128, 14336, 32000, 32768, False, 8, 2), "apache-2.0", False,
        "mistral", ("mistralai/Mixtral-8x7B-v0.1",),
    ),
    CatalogModel(
        "mistralai/Mixtral-8x22B-Instruct-v0.1", "Mixtral 8x22B", 140_630_071_296,
        Architecture("mixtral", 6144, 56, 48, 8, 128, 16384, 32768, 65536, False, 8, 2), "apache-2.0", False,
        "mistral",
    ),
    CatalogModel(
        "google/gemma-2b-it", "Gemma 2B", 2_506_172_416,
        Architecture("gemma", 2048, 18, 8, 1, 256, 16384, 256000, 8192, tied=True), "gemma", True, "gemma",
        ("google/gemma-2b",),
    ),
    CatalogModel(
        "google/gemma-2-2b-it", "Gemma 2 2B", 2_614_341_888,
        Architecture("gemma2", 2304, 26, 8, 4, 256, 9216, 256000, 8192, tied=True), "gemma", True, "gemma",
        ("google/gemma-2-2b",),
    ),
    CatalogModel(
        "google/gemma-2-9b-it", "Gemma 2 9B", 9_241_705_984,
        Architecture("gemma2", 3584, 42, 16, 8, 256, 14336, 256000, 8192, tied=True), "gemma", True, "gemma",
        ("google/gemma-2-9b",),
    ),
    CatalogModel(
        "google/gemma-2-27b-it", "Gemma 2 27B", 27_227_128_320,
        Architecture("gemma2", 4608, 46, 32, 16, 128, 36864, 256000, 8192, tied=True), "gemma", True, "gemma",
        ("google/gemma-2-27b",),
    ),
    CatalogModel(
        "google/gemma-3-1b-it", "Gemma 3 1B", 999_885_952,
        Architecture("gemma3", 1152, 26, 4, 1, 256, 6912, 262144, 32768, tied=True), "gemma", True, "gemma",
        ("google/gemma-3-1b-pt",),
    ),
    CatalogModel(
        "microsoft/phi-1_5", "Phi-1.5", 1_418_270_720,
        Architecture("phi", 2048, 24, 32, 32, 64, 8192, 51200, 2048), "mit",
    ),
    CatalogModel(
        "microsoft/Phi-3-mini-4k-instruct", "Phi-3 mini", 3_821_079_552,
        Architecture("phi3", 3072, 32, 32, 32, 96, 8192, 32064, 4096), "mit", False, "phi3",
        ("microsoft/Phi-3.5-mini-instruct", "microsoft/Phi-3-mini-128k-instruct"),
    ),
    CatalogModel(
        "microsoft/phi-4", "Phi-4", 14_659_507_200,
        Architecture("phi3", 5120, 40, 40, 10, 128, 17920, 100352, 16384), "mit", False, "phi4",
    ),
    CatalogModel(
        "HuggingFaceTB/SmolLM2-135M-Instruct", "SmolLM2 135M", 134_515_008,
        _llama(576, 30, 9, 3, 1536, 49152, 8192, tied=True), "apache-2.0", False, "chatml",
        ("HuggingFaceTB/SmolLM2-135M", "HuggingFaceTB/SmolLM-135M"),
    ),
    CatalogModel(
        "HuggingFaceTB/SmolLM2-360M-Instruct", "SmolLM2 360M", 361_821_120,
        _llama(960, 32, 15, 5, 2560, 49152, 8192, tied=True), "apache-2.0", False, "chatml",
        ("HuggingFaceTB/SmolLM2-360M", "HuggingFaceTB/SmolLM-360M"),
    ),
    CatalogModel(
        "HuggingFaceTB/SmolLM2-1.7B-Instruct", "SmolLM2 1.7B", 1_711_376_384,
        _llama(2048, 24, 32, 32, 8192, 49152, 8192, tied=True), "apache-2.0", False, "chatml",
        ("HuggingFaceTB/SmolLM2-1.7B", "HuggingFaceTB/SmolLM-1.7B"),
    ),
    CatalogModel(
        "deepseek-ai/deepseek-coder-1.3b-instruct", "DeepSeek Coder 1.3B", 1_346_471_936,
        _llama(2048, 24, 16, 16, 5504, 32256, 16384), "deepseek", False, None,
        ("deepseek-ai/deepseek-coder-1.3b-base",),
    ),
    *(
        CatalogModel(f"openai-community/{id}", name, count, architecture, "mit", aliases=(id,))
        for id, name, count, architecture in (
            ("gpt2", "GPT-2 small", 124_439_808, _gpt2(768, 12, 12)),
            ("gpt2-medium", "GPT-2 medium", 354_823_168, _gpt2(1024, 24, 16)),
            ("gpt2-large", "GPT-2 large", 774_030_080, _gpt2(1280, 36, 20)),
            ("gpt2-xl", "GPT-2 XL", 1_557_611_200, _gpt2(1600, 48, 25)),
        )
    ),
)  # fmt: skip

MODELS: Final[tuple[CatalogModel, ...]] = (*_LORA_SERVICE, *_LLAMA, *_QWEN, *_OTHERS)
"""Every model of the catalog, those of the LoRA service first."""
