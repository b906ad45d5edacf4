"""Which items each step of a run learns from."""

from finetune_api.resolved import ResolvedJob
from finetune_trainer.data.lengths import lengths_to_group_by
from finetune_trainer.data.prompts import repeated
from finetune_trainer.data.sampling import GlobalOrder
from finetune_trainer.data.training_data import TrainingData


def data_order(job: ResolvedJob, data: TrainingData) -> GlobalOrder:
    """Which items each step of the run learns from. Raises what `lengths_to_group_by` raises."""
    training = job.spec.training
    order = GlobalOrder(
        size=len(data),
        global_batch=job.effective_batch_size,
        seed=training.seed_of_data,
        shuffle=training.sampling != "sequential",
        lengths=lengths_to_group_by(job, data),
    )
    return repeated(order, training)
