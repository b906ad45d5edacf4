"""The parts of a run, put together from its inputs: the model, the order of its data, and the trainer."""

from dataclasses import dataclass
from typing import Any, cast

import torch
from transformers import TrainingArguments, set_seed

from finetune_api.deepspeed import uses_deepspeed
from finetune_api.resolved import ResolvedJob
from finetune_trainer.data.asking import end_tokens
from finetune_trainer.data.packed import PackedDataset
from finetune_trainer.data.sampling import GlobalOrder
from finetune_trainer.data.training_data import TrainingData
from finetune_trainer.deepspeed_config import Precision
from finetune_trainer.distributed import rank
from finetune_trainer.evaluation.generations import Generations
from finetune_trainer.inputs import Inputs
from finetune_trainer.methods import Start, apply_method, name_revision
from finetune_trainer.methods.coverage import check_quantized
from finetune_trainer.model.generation_settings import settle
from finetune_trainer.model.kernels import liger_is_on, upcast_norms
from finetune_trainer.model.models import check_fit, load_base, load_dtype, train_in_fp32
from finetune_trainer.model.precision import DTYPES, arithmetic, multiply_in
from finetune_trainer.model.quantization import quantization_config
from finetune_trainer.model.utilisation import utilisation
from finetune_trainer.stages.base import Setting
from finetune_trainer.training.by_document import attend_by_document
from finetune_trainer.training.callbacks import RunCallback
from finetune_trainer.training.fused_loss import fuse_loss, needs_no_logits
from finetune_trainer.training.guards import Guard, Trend
from finetune_trainer.training.isolation import IsolationTrial, check_isolation, computes_now
from finetune_trainer.training.optimizers import grouped_optimizer
from finetune_trainer.training.plateau import plateau
from finetune_trainer.training.progress import Progress
from finetune_trainer.training.smoothed_loss import smoothed_loss
from finetune_trainer.training.trainer import FineTuneTrainer


@dataclass(frozen=True)
class LoadedModel:
    """The model as the method makes it trainable, and how it reads its data."""

    model: torch.nn.Module
    data: TrainingData
    """Laid out for the model's attention."""
    attention: str
    """The implementation in use, in transformers' words."""
    by_document: bool
    """Whether documents are attended to one by one, without padding."""

    @property
    def width(self) -> int:
        """Of its hidden states: the narrow side of most of its matrices."""
        return int(cast(Any, self.model).config.get_text_config().hidden_size)

    @property
    def weight_bytes(self) -> int:
        """Of one trained weight."""
        return next(weight.element_size() for weight in self.model.parameters() if weight.requires_grad)


def load_model(
    inputs: Inputs, start: Start, precision: Precision, device: torch.device | None = None
) -> LoadedModel:
    """Loads the base, to a device where one is given, and applies the method. Raises `InvalidConfigError`
    where the parts do not fit."""
    spec = inputs.job.spec
    # a head that the base does not have starts at random: alike on every rank and in every attempt
    set_seed(spec.training.seed)
    base = load_base(
        spec.model,
        start.base,
        load_dtype(spec, precision),
        quantization_config(spec, precision, start.base),
        inputs.stage.head,
        None if _is_cast_first(inputs.job, precision) else device,
    )
    check_quantized(base, spec)
    longest = spec.training.max_sequence_length
    check_fit(base, inputs.tokenizer, longest)
    settle(base, end_tokens(inputs.tokenizer))
    likelihood_on_cpu = inputs.job.device == "cpu" and inputs.stage.objective is None
    by_document = likelihood_on_cpu and attend_by_document(base, longest)
    data = inputs.data
    if isinstance(data, PackedDataset) and not by_document:
        data = data.laid_out_for(base.config._attn_implementation)
        if computes_now(base, device):
            with arithmetic(base.device, precision):
                check_isolation(base, data)
    if spec.model.upcast_layer_norm:
        upcast_norms(base)
    model = apply_method(base, spec.method, spec.training.seed, start)
    if spec.model.load_precision == "auto":
        train_in_fp32(model)
    name_revision(model, spec.model.revision)
    if likelihood_on_cpu and precision == "fp32" and needs_no_logits(spec):
        fuse_loss(model)
    return LoadedModel(
        model=model, data=data, attention=base.config._attn_implementation, by_document=by_document
    )


def _is_cast_first(job: ResolvedJob, precision: Precision) -> bool:
    """Whether DeepSpeed turns the weights into 16 bit on the host, before it moves them to a GPU, which may
    have no room for more."""
    spec = job.spec
    casts = spec.quantization.type == "none" and load_dtype(spec, precision) != DTYPES[precision]
    return casts and uses_deepspeed(spec.distributed, job.world_size)


def guard(job: ResolvedJob, data: TrainingData, order: GlobalOrder, precision: Precision) -> Guard:
    """What ends this rank's run at the first step that is not a number, or that diverges."""
    divergence = job.spec.failure_policy.divergence
    return Guard(
        data=data,
        order=order,
        micro_batch=job.spec.training.sequences_per_pass,
        rank=rank(),
        ranks=job.world_size,
        scaled=precision == "fp16",
        trend=Trend(divergence) if divergence else None,
    )


def progress(
    inputs: Inputs,
    loaded: LoadedModel,
    order: GlobalOrder,
    arguments: TrainingArguments,
    precision: Precision,
) -> Progress:
    """What counts and times the run."""
    facts = loaded.data.facts
    share_of_peak = utilisation(
        loaded.model,
        arguments.device,
        sixteen_bit=precision != "fp32",
        ranks=inputs.job.world_size,
        tokens_per_document=facts.tokens / (facts.documents or facts.sequences),
    )
    return Progress(
        job=inputs.job,
        data=loaded.data,
        order=order,
        utilisation=share_of_peak,
        likelihood=inputs.stage.objective is None,
    )


def sample_answers(inputs: Inputs, follower: RunCallback) -> Generations | None:
    """The answers that `evaluation.generations` asks for, if any."""
    spec = inputs.job.spec.evaluation.generations
    if spec is None:
        return None
    return Generations(
        spec, inputs.job, inputs.tokenizer, first=follower.first, drawn=follower.progress.watch.restart
    )


def make_trainer(
    inputs: Inputs,
    loaded: LoadedModel,
    arguments: TrainingArguments,
    precision: Precision,
    follower: RunCallback,
    generations: Generations | None,
) -> FineTuneTrainer:
    """The trainer with its callbacks, its optimizer and the objective of its stage."""
    spec = inputs.job.spec
    untried = isinstance(loaded.data, PackedDataset) and not computes_now(loaded.model, arguments.device)
    trial = IsolationTrial(cast(PackedDataset, loaded.data)) if untried else None
    arguments.use_liger_kernel = liger_is_on(inputs.job, loaded.model)
    trainer = FineTuneTrainer(
        model=loaded.model,
        args=arguments,
        train_dataset=loaded.data,
        processing_class=inputs.tokenizer,
        callbacks=[each for each in (trial, follower, generations) if each is not None],
        compute_loss_func=smoothed_loss(spec.training.label_smoothing),
        order=follower.order,
        evaluation=inputs.evaluation,
        evaluation_spec=spec.evaluation,
        eval_micro_batch=spec.evaluation.micro_batch_size or spec.training.sequences_per_pass,
        pad_id=inputs.tokenizer.pad_token_id or 0,
        by_document=loaded.by_document,
        micro_losses=follower.guard.micro_losses,
        optimizer_cls_and_kwargs=grouped_optimizer(loaded.model, arguments, spec),
        plateau=plateau(spec),
    )
    multiply_in(spec.training.precision)
    if inputs.stage.objective is not None:
        setting = Setting(
            inputs.job, inputs.base, precision, inputs.tokenizer, loaded.model, trainer.accelerator
        )
        trainer.learn_by(inputs.stage.objective(setting))
    return trainer
