"""Rules about `spec.model`."""

from collections.abc import Iterator

from finetune_api.job import FineTuneJob
from finetune_api.model import ONE_CHAT_TEMPLATE, ONE_TOKENIZER, ArchitectureSpec
from finetune_api.rule import found
from finetune_api.rules_over_sections import MODEL_SOURCES, REVISION_OF_ID
from finetune_api.validation.codes import Code
from finetune_api.validation.findings import Finding, broken, error, warning
from finetune_api.validation.rules.common import absolute_path, exactly_one, relative_path, uses_deepspeed


def model(job: FineTuneJob, target: str) -> Iterator[Finding]:
    """One source, a tokenizer that is there, an architecture whose numbers fit together."""
    spec = job.spec.model
    yield from exactly_one(spec, "model", MODEL_SOURCES, "a model")
    if spec.revision is not None and spec.id is None:
        yield broken(Code.REQUIRES, REVISION_OF_ID, spec.revision)
    if target == "cluster" and spec.path is not None:
        yield from absolute_path(spec.path, "model.path")
    if spec.cache is not None and spec.cache.sub_path is not None:
        yield from relative_path(spec.cache.sub_path, "model.cache.subPath")
    yield from _tokenizer(job, target)
    if spec.config is not None:
        yield from _architecture(spec.config)
        yield from _experts(spec.config)
        yield from _from_scratch(job, spec.config)
    if spec.upcast_layer_norm and uses_deepspeed(job.spec):
        yield error(
            Code.CONFLICT,
            "model.upcastLayerNorm",
            "DeepSpeed holds the whole model in training.precision, norms included",
            "Set model.upcastLayerNorm to false",
            True,
        )
    if spec.trust_remote_code:
        yield warning(
            Code.REMOTE_CODE,
            "model.trustRemoteCode",
            "lets Python code from the model's repository run as the trainer",
            "Read that code, pin model.revision to a commit, or set trustRemoteCode: false",
            True,
        )


def _tokenizer(job: FineTuneJob, target: str) -> Iterator[Finding]:
    spec, tokenizer = job.spec.model, job.spec.model.tokenizer
    sources = {"id": tokenizer.id, "path": tokenizer.path, "train": tokenizer.train}
    present = [name for name, value in sources.items() if value is not None]
    if len(present) > 1:
        words = {"found": found(present)}
        yield broken(Code.NOT_EXACTLY_ONE, ONE_TOKENIZER, where="model.tokenizer", words=words)
    if not present and spec.config is not None:
        yield error(
            Code.REQUIRES,
            "model.tokenizer",
            "a model from scratch brings no tokenizer",
            "Set model.tokenizer.train, or id or path of one that exists",
        )
    if tokenizer.train is not None and spec.config is None:
        yield error(
            Code.CONFLICT,
            "model.tokenizer.train",
            "a new tokenizer does not fit a model that is already trained",
            "Remove model.tokenizer.train, or train from scratch with model.config",
        )
    if tokenizer.revision is not None and tokenizer.id is None:
        yield error(
            Code.REQUIRES,
            "model.tokenizer.revision",
            "names a version on the hub, and model.tokenizer.id is not set",
            "Remove it or set model.tokenizer.id",
            tokenizer.revision,
        )
    if tokenizer.chat_template is not None and tokenizer.chat_template_name is not None:
        yield broken(Code.CONFLICT, ONE_CHAT_TEMPLATE, where="model.tokenizer")
    yield from _unused_template(job)
    if target == "cluster" and tokenizer.path is not None:
        yield from absolute_path(tokenizer.path, "model.tokenizer.path")


def _unused_template(job: FineTuneJob) -> Iterator[Finding]:
    tokenizer = job.spec.model.tokenizer
    field = "chatTemplate" if tokenizer.chat_template is not None else "chatTemplateName"
    given = tokenizer.chat_template is not None or tokenizer.chat_template_name not in (None, "plain")
    if given and not job.spec.dataset.preprocessing.use_chat_template:
        yield warning(
            Code.CONFLICT,
            f"model.tokenizer.{field}",
            "is not used while dataset.preprocessing.useChatTemplate is false",
            f"Remove {field}, or set dataset.preprocessing.useChatTemplate to true",
            tokenizer.chat_template_name,
        )


def _architecture(config: ArchitectureSpec) -> Iterator[Finding]:
    if config.head_dimension is None and config.hidden_size % config.attention_heads:
        yield error(
            Code.INVALID_ARCHITECTURE,
            "model.config.attentionHeads",
            f"must divide hiddenSize {config.hidden_size}",
            "Change one of them, or set headDimension",
            config.attention_heads,
        )
    if config.key_value_heads is not None and config.attention_heads % config.key_value_heads:
        yield error(
            Code.INVALID_ARCHITECTURE,
            "model.config.keyValueHeads",
            f"must divide attentionHeads {config.attention_heads}",
            "Use a divisor of attentionHeads, or leave it out",
            config.key_value_heads,
        )
    head = config.head_dimension or config.hidden_size // config.attention_heads
    if config.architecture != "gpt2" and head % 2:
        yield error(
            Code.INVALID_ARCHITECTURE,
            "model.config.hiddenSize",
            f"gives heads of {head} channels, and rotary embeddings need an even number",
            "Make hiddenSize / attentionHeads even",
            config.hidden_size,
        )


def _experts(config: ArchitectureSpec) -> Iterator[Finding]:
    for field, value in (("experts", config.experts), ("expertsPerToken", config.experts_per_token)):
        if value is not None and not config.has_experts:
            yield error(
                Code.CONFLICT,
                f"model.config.{field}",
                f"belongs to architecture mixtral, and the architecture is {config.architecture}",
                f"Remove {field} or use architecture mixtral",
                value,
            )
    if config.has_experts and config.active_experts > config.expert_count:
        yield error(
            Code.INVALID_ARCHITECTURE,
            "model.config.expertsPerToken",
            f"is more than the {config.expert_count} experts of a layer",
            f"Use {config.expert_count} or less, or raise model.config.experts",
            config.active_experts,
        )


def _from_scratch(job: FineTuneJob, config: ArchitectureSpec) -> Iterator[Finding]:
    spec = job.spec
    train = spec.model.tokenizer.train
    if config.vocab_size is not None and train is not None and config.vocab_size < train.vocab_size:
        yield error(
            Code.INVALID_ARCHITECTURE,
            "model.config.vocabSize",
            f"is smaller than model.tokenizer.train.vocabSize {train.vocab_size}",
            "Leave it out, or make it at least as large",
            config.vocab_size,
        )
    if spec.training.max_sequence_length > config.max_position_embeddings:
        yield error(
            Code.SEQUENCE_TOO_LONG,
            "training.maxSequenceLength",
            f"is more than the {config.max_position_embeddings} tokens of model.config.maxPositionEmbeddings",
            f"Use {config.max_position_embeddings} or less, or raise maxPositionEmbeddings",
            spec.training.max_sequence_length,
        )
    if spec.method.uses_adapters:
        yield warning(
            Code.RANDOM_BASE,
            "method.type",
            "trains adapters on random weights, which stay random",
            "Use method.type full for a model from scratch",
            spec.method.type,
        )
    if spec.quantization.type != "none":
        yield error(
            Code.QUANTIZATION_CONFLICT,
            "quantization.type",
            "can't quantize a model whose weights are still to be learned",
            "Set quantization.type to none",
            spec.quantization.type,
        )
