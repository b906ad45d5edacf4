"""transformers' Trainer with the data order of `data/sampling.py` and an evaluation loss that is exact."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch.utils.data import DataLoader
from transformers import PrinterCallback, ProgressCallback, Trainer

from finetune_trainer.data.dataset import TokenizedDataset
from finetune_trainer.data.flat import flat
from finetune_trainer.data.packed import PackedDataset
from finetune_trainer.data.sampling import GlobalOrder, RankBatches
from finetune_trainer.distributed import sum_over_ranks


class FineTuneTrainer(Trainer):  # type: ignore[misc]  # transformers is not typed
    """A `Trainer` whose batches do not depend on the number of ranks."""

    def __init__(
        self,
        *,
        order: GlobalOrder,
        evaluation: TokenizedDataset | None,
        eval_micro_batch: int,
        pad_id: int,
        by_document: bool,
        micro_losses: list[torch.Tensor],
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        for noisy in (PrinterCallback, ProgressCallback):
            self.remove_callback(noisy)
        self.order = order
        self.evaluation = evaluation
        self.eval_micro_batch = eval_micro_batch
        self.pad_id = pad_id
        self.by_document = by_document
        self.micro_losses = micro_losses
        self.batches = self._batches(order, self.args.per_device_train_batch_size)

    def get_train_dataloader(self) -> DataLoader[Any]:
        """This rank's micro-batches. The loader is complete: accelerate is not asked to divide it among
        ranks."""
        return self._loader(cast(TokenizedDataset | PackedDataset, self.train_dataset), self.batches)

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """One micro-batch; its loss is kept, so that a step that fails can name the records at fault."""
        loss = cast(torch.Tensor, super().training_step(*args, **kwargs))
        self.micro_losses.append(loss)
        return loss

    def evaluate(self, *_args: Any, **_kwargs: Any) -> dict[str, float]:
        """`eval_loss`: the mean over all supervised tokens of the evaluation data, as for one long batch."""
        if self.evaluation is None:
            return {}
        ranks = self.args.world_size
        order = GlobalOrder(len(self.evaluation), self.eval_micro_batch * ranks, seed=0, shuffle=False)
        model = self.model_wrapped
        was_training = model.training
        model.eval()
        loss = torch.zeros((), dtype=torch.float64, device=self.args.device)
        tokens = 0
        one = torch.ones((), device=self.args.device)
        with torch.no_grad(), self.compute_loss_context_manager():
            for batch in self._loader(self.evaluation, self._batches(order, self.eval_micro_batch)):
                inputs = self._prepare_inputs(batch)
                tokens += int((inputs["labels"][:, 1:] != -100).sum())
                # divided by one item, the model's loss is the sum over the batch's tokens
                loss += model(**inputs, num_items_in_batch=one).loss.double()
        model.train(was_training)
        total, count = sum_over_ranks(loss.item(), float(tokens))
        metrics = {"eval_loss": total / count}
        self.log(metrics)
        self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def load_weights(self, checkpoint: Path) -> None:
        """Takes the trained weights of a checkpoint, on all ranks together, for the output."""
        self.state.best_model_checkpoint = str(checkpoint)
        self._load_best_model()

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

    def _loader(self, dataset: TokenizedDataset | PackedDataset, batches: RankBatches) -> DataLoader[Any]:
        workers = self.args.dataloader_num_workers
        collate: Callable[[Any], Any] = (
            flat if self.by_document else partial(dataset.collate, pad_id=self.pad_id)
        )
        return DataLoader(
            dataset,
            batch_sampler=batches,
            collate_fn=collate,
            num_workers=workers,
            pin_memory=self.args.device.type == "cuda",
        )
