"""What must hold of every estimate."""

from hypothesis import given, settings
from hypothesis import strategies as st

from finetune_api import parse_job
from finetune_api.catalog import MODELS
from finetune_api.estimate import estimate, memory, nearest_fit, propose_fit, setup_for
from finetune_api.estimate.fit import apply
from finetune_api.hardware import ACCELERATORS, find_accelerator

BASE = parse_job(
    {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": "any"},
        "spec": {"model": {"id": "gpt2"}, "dataset": {"train": {"hub": {"id": "a/b"}}}},
    }
)
A100 = find_accelerator("a100")

methods = st.sampled_from(["full", "freeze", "lora", "qlora", "dora", "pissa", "rslora", "spectrum"])
llamas = sorted(
    (model for model in MODELS if model.architecture.family == "llama"),
    key=lambda model: model.architecture.parameters,
)


@st.composite
def jobs(draw):
    method = draw(methods)
    nodes = draw(st.sampled_from([1, 2]))
    per_node = draw(st.sampled_from([1, 2, 8]))
    changes = {
        "model.id": draw(st.sampled_from([model.id for model in MODELS])),
        "method.type": method,
        "method.lora.rank": draw(st.integers(1, 256)),
        "training.microBatchSize": draw(st.integers(1, 16)),
        "training.gradientAccumulationSteps": draw(st.integers(1, 16)),
        "training.maxSequenceLength": draw(st.integers(8, 8192)),
        "training.gradientCheckpointing": draw(st.sampled_from(["auto", "none", "full"])),
        "training.precision": draw(st.sampled_from(["auto", "bf16", "fp16", "fp32"])),
        "training.optimizer": draw(
            st.sampled_from(["adamw", "adamw8bit", "pagedAdamw", "adafactor", "lomo"])
        ),
        "training.stage": draw(st.sampled_from(["sft", "pretrain", "dpo", "kto", "grpo", "ppo"])),
        "model.attention": draw(st.sampled_from(["auto", "eager"])),
        "model.kernels": draw(st.sampled_from(["none", "liger"])),
        "dataset.packing": draw(st.booleans()),
        "distributed.nodes": nodes,
        "distributed.zeroStage": draw(st.integers(0, 3)),
        "resources.accelerators.perNode": per_node,
    }
    if method in ("lora", "qlora"):
        changes["quantization.type"] = draw(st.sampled_from(["none", "int8", "nf4"]))
    return apply(BASE, changes)


def peak(job):
    found = memory(setup_for(job, A100))
    return found.low, found.expected, found.high


def effective_batch(job):
    training = job.spec.training
    ranks = setup_for(job, A100).ranks
    return training.micro_batch_size * training.gradient_accumulation_steps * ranks


def not_lower(smaller, larger):
    return all(one <= other * (1 + 1e-12) for one, other in zip(smaller, larger, strict=True))


@settings(max_examples=100, deadline=None)
@given(jobs(), st.integers(1, 8))
def test_a_larger_batch_never_needs_less(job, more):
    batch = job.spec.training.micro_batch_size + more
    assert not_lower(peak(job), peak(apply(job, {"training.microBatchSize": batch})))


@settings(max_examples=100, deadline=None)
@given(jobs(), st.integers(1, 8192))
def test_longer_sequences_never_need_less(job, more):
    length = job.spec.training.max_sequence_length + more
    assert not_lower(peak(job), peak(apply(job, {"training.maxSequenceLength": length})))


@settings(max_examples=100, deadline=None)
@given(jobs(), st.integers(1, 256))
def test_a_higher_rank_never_needs_less(job, more):
    rank = job.spec.method.lora.rank + more
    assert not_lower(peak(job), peak(apply(job, {"method.lora.rank": rank})))


@settings(max_examples=100, deadline=None)
@given(jobs(), st.sampled_from(["layers", "hiddenSize", "intermediateSize", "vocabSize"]))
def test_a_larger_model_never_needs_less(job, field):
    sizes = {"layers": 12, "hiddenSize": 768, "intermediateSize": 3072, "vocabSize": 32000}
    body = job.to_json_object()
    grown = []
    for config in (sizes, sizes | {field: sizes[field] * 2}):
        body["spec"]["model"] = {
            key: value for key, value in body["spec"]["model"].items() if key not in ("id", "config")
        } | {"config": config}
        grown.append(peak(type(job).from_json_object(body)))
    assert not_lower(*grown)


@settings(max_examples=40, deadline=None)
@given(jobs(), st.sampled_from(ACCELERATORS))
def test_what_is_proposed_fits_and_keeps_the_effective_batch(job, accelerator):
    for fit in propose_fit(job, accelerator) or ():
        changed = apply(job, fit.changes)
        found = estimate(changed, accelerator)
        assert found.fits
        assert found.memory == fit.estimate.memory
        assert effective_batch(changed) == effective_batch(job)


@settings(max_examples=100, deadline=None)
@given(jobs(), st.sampled_from(ACCELERATORS))
def test_the_nearest_change_fits_and_is_only_named_where_it_is_needed(job, accelerator):
    fit = nearest_fit(job, accelerator)
    if estimate(job, accelerator).fits:
        assert fit is None
    elif fit is not None:
        assert estimate(apply(job, fit.changes), accelerator).fits


@settings(max_examples=100, deadline=None)
@given(jobs(), st.sampled_from(ACCELERATORS))
def test_every_figure_lies_between_its_bounds(job, accelerator):
    result = estimate(job, accelerator)
    ranges = [result.memory.range, result.duration_seconds, result.steps.steps, result.cost.carbon_grams]
    for figure in ranges:
        assert 0 < figure.low <= figure.expected <= figure.high
