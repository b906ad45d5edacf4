"""Gradients, and what the optimizer holds of the trained weights. Sizes are in bytes of one device."""

from finetune_api.estimate.optimizers import FUSES_GRADIENTS, state_bytes
from finetune_api.estimate.parameters import ParameterCounts, trains_head
from finetune_api.estimate.setup import Setup


def gradient_memory(setup: Setup, counts: ParameterCounts) -> float:
    """Gradients of all trained weights, in the weights' type; ZeRO-2 and -3 share them out, offload moves
    them to the host with the optimizer. Of those that are used at once there is the largest, the output
    embedding's."""
    if setup.optimizer in FUSES_GRADIENTS:
        head = setup.architecture.vocabulary * setup.architecture.hidden if trains_head(setup, counts) else 0
        return max(largest_matrix(setup), head) * setup.weight_bytes
    shared_out = setup.zero_stage >= 2
    if setup.offload_optimizer and shared_out:
        return 0.0
    return trained_bytes(setup, counts) / (setup.ranks if shared_out else 1)


def originals_memory(setup: Setup, counts: ParameterCounts) -> float:
    """The fp32 originals of the trained weights that DeepSpeed's optimizer holds; ZeRO-1 and above share them
    out."""
    if not setup.deepspeed or setup.offload_optimizer or setup.compute_bytes == 4:
        return 0.0
    return 4.0 * counts.trained / (setup.ranks if setup.zero_stage >= 1 else 1)


def states_memory(setup: Setup, counts: ParameterCounts) -> float:
    """States of the optimizer; ZeRO-1 and above share them out."""
    if setup.offload_optimizer:
        return 0.0
    narrow = setup.architecture.hidden
    if setup.deepspeed:
        shares = setup.ranks if setup.zero_stage >= 1 else 1
        return state_bytes(setup.optimizer, counts.trained, 4, narrow) / shares
    embeddings = setup.architecture.embedding_parameters + setup.architecture.head_parameters
    embedded = min(embeddings, counts.trained_model) if setup.method.type == "full" else 0.0
    own = state_bytes(setup.optimizer, counts.trained_model, setup.weight_bytes, narrow, embedded)
    added = state_bytes(setup.optimizer, counts.adapters, setup.added_bytes, setup.method.lora.rank)
    saved = state_bytes(setup.optimizer, counts.saved_modules, setup.saved_bytes, narrow)
    return own + added + saved


def trained_bytes(setup: Setup, counts: ParameterCounts) -> float:
    """Bytes of the trained weights, each in its own type."""
    return counts.trained_model * setup.weight_bytes + added_memory(setup, counts)


def added_memory(setup: Setup, counts: ParameterCounts) -> float:
    """Bytes of what is trained beside the model: adapters, and copies of whole modules."""
    return float(counts.adapters * setup.added_bytes + counts.saved_modules * setup.saved_bytes)


def largest_matrix(setup: Setup) -> float:
    """Weights of the largest single matrix of the layers."""
    return float(max(linear.weights for linear in setup.architecture.linears))
