"""transformers' Trainer with the data order of `data/sampling.py`, the objective of the stage, and an
evaluation that is exact."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, Dataset
from transformers import PreTrainedModel, PrinterCallback, ProgressCallback, Trainer, TrainerControl

from finetune_api.evaluation import EvaluationSpec
from finetune_trainer.checkpoints.learning_rates import renew_rates
from finetune_trainer.checkpoints.universal import restore
from finetune_trainer.data.flat import flat
from finetune_trainer.data.sampling import GlobalOrder, RankBatches
from finetune_trainer.data.training_data import TrainingData
from finetune_trainer.distributed import sum_over_ranks
from finetune_trainer.errors import StorageError
from finetune_trainer.model.generation_settings import write_beside
from finetune_trainer.model.kernels import family_unchanged
from finetune_trainer.stages.base import Objective
from finetune_trainer.stages.measurements import Measurements
from finetune_trainer.training.embedding_noise import noisy_embeddings
from finetune_trainer.training.evaluation import EvaluationSums, scores
from finetune_trainer.training.optimizers import page_again
from finetune_trainer.training.plateau import Plateau
from finetune_trainer.training.smoothed_loss import SmoothedLoss, counts_tokens


class FineTuneTrainer(Trainer):  # type: ignore[misc]  # transformers is not typed
    """A `Trainer` whose batches do not depend on the number of ranks."""

    lr_scheduler: Any
    control: TrainerControl

    def __init__(
        self,
        *,
        order: GlobalOrder,
        evaluation: TrainingData | None,
        evaluation_spec: EvaluationSpec | None = None,
        eval_micro_batch: int,
        pad_id: int,
        by_document: bool = False,
        micro_losses: list[torch.Tensor],
        plateau: Plateau | None = None,
        noise_alpha: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.likelihood = None if counts_tokens(self.model) else SmoothedLoss(share=0.0)
        """How evaluations measure a model whose own loss does not count tokens."""
        self.model_accepts_loss_kwargs &= self.likelihood is None
        self.plateau = plateau
        self.noise_alpha = noise_alpha
        for noisy in (PrinterCallback, ProgressCallback):
            self.remove_callback(noisy)
        self.order = order
        self.evaluation = evaluation
        self.evaluation_spec = evaluation_spec or EvaluationSpec()
        self.eval_micro_batch = eval_micro_batch
        self.pad_id = pad_id
        self.by_document = by_document
        self.micro_losses = micro_losses
        self.batches = self._batches(order, self.args.per_device_train_batch_size)
        self.objective: Objective | None = None
        self.measurements = Measurements(())
        self.before_save: Callable[[], None] = lambda: None
        """Called on all ranks before a checkpoint is written."""
        self.gives_way: Callable[[TrainerControl], bool] = lambda _: False
        """Asked on all ranks before each batch of an evaluation: whether it is left to the next attempt."""
        self._under_own_names = False
        self.universal: Path | None = None
        """The checkpoint to resume from, where another layout wrote it (`checkpoints/universal.py`)."""

    def learn_by(self, objective: Objective) -> None:
        """Takes the loss from an objective, instead of the likelihood that the model itself computes."""
        self.objective = objective
        self.measurements = Measurements(objective.metrics)
        self.loss_is_scaled_for_ga = True

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """As transformers does. What it does to the model's family ends with it."""
        with family_unchanged(self.model), noisy_embeddings(self.model, self.noise_alpha):
            return super().train(*args, **kwargs)

    def get_train_dataloader(self) -> DataLoader[Any]:
        """This rank's micro-batches. The loader is complete: accelerate is not asked to divide it among
        ranks."""
        return self._loader(cast(TrainingData, self.train_dataset), self.batches)

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> tuple[list[Any], Any]:
        """The micro-batches of the next optimizer step, as the objective wants them, and their items."""
        batches, items = super().get_batch_samples(*args, **kwargs)
        if self.objective is None:
            return batches, items
        if hasattr(self.optimizer, "train"):
            # answers are drawn from the weights that learn, not from their average
            self.optimizer.train()
        batches = list(self.objective.begin_step(self.state.global_step, batches))
        (total,) = sum_over_ranks(float(sum(int(self.objective.items(batch)) for batch in batches)))
        return batches, torch.tensor(total, device=self.args.device)

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """One micro-batch; its loss is kept, so that a step that fails can name the records at fault."""
        loss = cast(torch.Tensor, super().training_step(*args, **kwargs))
        self.micro_losses.append(loss)
        return loss

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """The micro-batch's share of the mean over all items of the global batch. Ranks' gradients are
        averaged, so each rank's share is multiplied by their number."""
        if self.objective is None:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        outcome = self.objective.loss(model, inputs)
        self.measurements.add(outcome.measured)
        return outcome.total / cast(torch.Tensor, num_items_in_batch) * self.args.world_size

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds to a step's figures what the objective measured; called on all ranks alike."""
        if "loss" in logs:
            logs |= self.measurements.take()
        super().log(logs, start_time)

    def evaluate(self, *_args: Any, **_kwargs: Any) -> dict[str, float]:
        """`eval_loss` and what else is asked for: means over all items of the evaluation data, as for one
        long batch, where an item is a supervised token or what the objective counts; and the objective's own
        measurements. Nothing when it was given up."""
        if self.evaluation is None:
            return {}
        self._show_average()
        model = self.model_wrapped
        was_training = model.training
        model.eval()
        metrics = self._measure(model, self.evaluation)
        model.train(was_training)
        if metrics is None:
            return {}
        self.log(metrics)
        self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        if self.plateau is not None:
            self.plateau.add(scores(metrics, likelihood=self.objective is None))
            renew_rates(self.optimizer, self.lr_scheduler)
        return metrics

    def catch_up(self, checkpoint: Path) -> None:
        """Does the evaluation that the attempt before has left when it saved this checkpoint, and saves it
        again, with its score and whatever follows from that."""
        self._load_rng_state(str(checkpoint))
        if self.evaluate():
            self._save_checkpoint(self.model_wrapped, None)
            self.control = self.callback_handler.on_save(self.args, self.state, self.control)

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """transformers' schedule, or the one that follows the job's own evaluations."""
        optimizer = optimizer or self.optimizer
        # DeepSpeed's wrappers have the groups of what they wrap, but not the rate that polynomial reads
        while not hasattr(optimizer, "defaults"):
            optimizer = optimizer.optimizer
        if self.plateau is None or self.lr_scheduler is not None:
            return super().create_scheduler(num_training_steps, optimizer)
        self.plateau.warmup_steps = self.args.get_warmup_steps(num_training_steps)
        self.lr_scheduler = LambdaLR(optimizer, self.plateau)
        return self.lr_scheduler

    def load_weights(self, checkpoint: Path) -> None:
        """Takes the trained weights of a checkpoint, on all ranks together, for the output."""
        self.state.best_model_checkpoint = str(checkpoint)
        self._load_best_model()

    def example_ids(self) -> torch.Tensor:
        """The tokens of the first sequence of the training data."""
        data = cast(TrainingData, self.train_dataset)
        return cast(torch.Tensor, data.collate([data[0]], self.pad_id)["input_ids"][0])

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """As transformers does, to which a checkpoint is an internal call: under the model's own names."""
        self._under_own_names = _internal_call
        super().save_model(output_dir, _internal_call)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        """transformers writes experts that are one parameter as the many that they once were, and takes up
        a checkpoint without making one of them again: they would stay as the base has them, silently."""
        model = self.accelerator.unwrap_model(self.model, keep_torch_compile=False)
        if output_dir is None or not self._under_own_names or not isinstance(model, PreTrainedModel):
            super()._save(output_dir, state_dict)
            if self.args.should_save and hasattr(model, "peft_config"):
                write_beside(model, Path(output_dir or self.args.output_dir))
        elif self.args.should_save:
            model.save_pretrained(output_dir, state_dict=state_dict, save_original_format=False)
            if self.processing_class is not None:  # the Python API reads tokens, and has no tokenizer
                self.processing_class.save_pretrained(output_dir)

    def _issue_warnings_after_load(self, load_result: Any) -> None:
        """What transformers only warns of."""
        # a weight that has two names, which is written once, comes here under its first one
        lost = {name for name, _ in self.model.named_parameters()}.intersection(load_result.missing_keys)
        if lost:
            raise StorageError(
                f"checkpoints: this one lacks {len(lost)} weights of the model ({sorted(lost)[0]}, …), which "
                "would be those of the base again. Remove it, to go on from the one before"
            )

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        self.before_save()
        self._show_average()
        super()._save_checkpoint(*args, **kwargs)

    def _show_average(self) -> None:
        """Schedule-Free optimizers put the average of the weights in the model's place, and `training_step`
        takes it away again. Others have none."""
        if hasattr(self.optimizer, "eval"):
            self.optimizer.eval()

    def _prepare_for_training(self, max_steps: int, loader: Any, checkpoint: str | None) -> Any:
        prepared = super()._prepare_for_training(max_steps, loader, None if self.universal else checkpoint)
        if checkpoint is not None:
            if self.universal is not None:
                restore(self, self.universal, Path(checkpoint))
            elif self.objective is not None and self._answers_file(checkpoint).exists():
                self.objective.restore(torch.load(self._answers_file(checkpoint), weights_only=True))
            renew_rates(self.optimizer, self.lr_scheduler)
            page_again(self.optimizer)
        return prepared

    def _save_rng_state(self, output_dir: str) -> None:
        """Beside random states, what else this rank needs to go on exactly."""
        super()._save_rng_state(output_dir)
        if self.objective is not None and (kept := self.objective.kept(self.state.global_step)):
            torch.save(kept, self._answers_file(output_dir))

    def _answers_file(self, checkpoint: str) -> Path:
        """Its name says what the answers fit, so that all ranks agree whether there are any to go on with."""
        arguments = self.args
        shape = f"{arguments.world_size}_by_{arguments.per_device_train_batch_size}"
        return Path(checkpoint) / f"answers_{arguments.process_index}_of_{shape}.pt"

    def _measure(self, model: torch.nn.Module, data: TrainingData) -> dict[str, float] | None:
        """What an evaluation finds; None when it was given up. Training's random numbers go on as if there
        had been none: a data loader draws one too."""
        ranks, device = self.args.world_size, self.args.device
        order = GlobalOrder(len(data), self.eval_micro_batch * ranks, seed=0, shuffle=False)
        sums = EvaluationSums(self.evaluation_spec, device)
        devices = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(devices), torch.no_grad(), self.compute_loss_context_manager():
            for batch in self._loader(data, self._batches(order, self.eval_micro_batch)):
                if self.gives_way(self.control):
                    self.measurements.take()
                    return None
                self._evaluate_batch(model, self._prepare_inputs(batch), sums)
        measured = {f"eval_{name}": value for name, value in self.measurements.take().items()}
        return sums.metrics() | measured

    def _evaluate_batch(self, model: torch.nn.Module, inputs: dict[str, Any], sums: EvaluationSums) -> None:
        if self.objective is not None:
            outcome = self.objective.evaluate(model, inputs)
            self.measurements.add(outcome.measured)
            sums.add_items(outcome.total, self.objective.items(inputs))
            return
        labels = inputs["labels"]
        if self.likelihood is None:
            # divided by one item, the model's loss is the sum over the batch's tokens
            outputs = model(**inputs, num_items_in_batch=torch.ones((), device=self.args.device))
            sums.add(outputs.loss, outputs.logits, labels)
        else:
            outputs = model(**{name: value for name, value in inputs.items() if name != "labels"})
            sums.add(self.likelihood(outputs, labels, 1), outputs.logits, labels)

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: torch.device) -> Any:
        # an objective counts what it has made of the batches
        return super()._get_num_items_in_batch(batch_samples, device) if self.objective is None else None

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        # the loop looks at `max_steps` only after a step: a run that was complete when it was resumed must do
        # none
        if self.control.should_training_stop or self.state.global_step >= self.state.max_steps:
            self.control.should_training_stop = True
            return
        self.batches.epoch = self.state.global_step // self.order.steps_per_epoch
        super()._run_epoch(*args, **kwargs)

    def _batches(self, order: GlobalOrder, micro_batch: int) -> RankBatches:
        return RankBatches(
            order, micro_batch=micro_batch, rank=self.args.process_index, ranks=self.args.world_size
        )

    def _loader(self, dataset: TrainingData, batches: RankBatches) -> DataLoader[Any]:
        workers = self.args.dataloader_num_workers
        collate: Callable[[Any], Any] = (
            flat if self.by_document else partial(dataset.collate, pad_id=self.pad_id)
        )
        return DataLoader(
            cast("Dataset[Any]", dataset),
            batch_sampler=batches,
            collate_fn=collate,
            num_workers=workers,
            pin_memory=self.args.dataloader_pin_memory and self.args.device.type == "cuda",
            prefetch_factor=self.args.dataloader_prefetch_factor if workers else None,
        )
