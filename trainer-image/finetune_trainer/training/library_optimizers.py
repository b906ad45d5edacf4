"""GaLore, StableAdamW and Schedule-Free: so that the whole spec counts, and a resume is exact.

transformers knows them by name. But it gives GaLore neither the spec's weight decay nor its betas, knows no
Conv1D, hands Schedule-Free a warm-up as a share of the run where the library counts steps, and leaves it to
StableAdamW to find out that there is no GPU, which it does not.
"""

from typing import Any, Final

import torch
from galore_torch import GaLoreAdafactor, GaLoreAdamW
from galore_torch.galore_projector import GaLoreProjector
from optimi import StableAdamW
from schedulefree import AdamWScheduleFree, RAdamScheduleFree, SGDScheduleFree
from transformers.pytorch_utils import Conv1D

from finetune_api.training import TrainingSpec
from finetune_trainer.errors import InvalidConfigError
from finetune_trainer.methods.layers import decoder_layers

Groups = list[dict[str, Any]]

PROJECTION: Final = {"rank": 128, "update_proj_gap": 200, "scale": 0.25, "proj_type": "std"}
"""Rank of the projected gradients, steps between two projections, scale of the update and side that is
projected: transformers' defaults, after Zhao et al. 2024 (arXiv:2403.03507)."""

GOING_ON: Final = "going_on"
"""Name, in the optimizer's state, of the weights that training goes on from while their average is shown."""


def library_optimizer(
    model: torch.nn.Module, training: TrainingSpec, groups: Groups, device: torch.device
) -> tuple[Any, dict[str, Any]]:
    """The class of an optimizer, and its arguments, with the groups of trained weights among them. `device`
    is where the weights will be."""
    adam = {"betas": (training.adam_beta1, training.adam_beta2), "eps": training.adam_epsilon}
    match training.optimizer:
        case "galoreAdamw" | "galoreAdafactor" as name:
            # checkpoints are read with nothing but tensors and what is named here
            torch.serialization.add_safe_globals([GaLoreProjector])
            GaLoreProjector.get_orthogonal_matrix = _directions_alone
            parts = projected(groups, model, name)
            if name == "galoreAdamw":
                return GaLore, {**adam, "no_deprecation_warning": True, "params": parts}
            # as transformers sets up its own Adafactor: the rate is the schedule's
            return GaLoreFactored, {"scale_parameter": False, "relative_step": False, "params": parts}
        case "stableAdamw":
            return StableAdamW, {**adam, "triton": device.type == "cuda", "params": groups}
        case "scheduleFreeAdamw":
            return ScheduleFreeAdamW, {**adam, "params": groups}
        case "scheduleFreeRadam":
            return ScheduleFreeRAdam, {**adam, "params": groups}
        case "scheduleFreeSgd":
            return ScheduleFreeSGD, {"params": groups}
    raise AssertionError(f"{training.optimizer} is made by transformers")


def projected(groups: Groups, model: torch.nn.Module, optimizer: str) -> Groups:
    """The groups, each taken apart into the matrices of the decoder layers' linear modules, whose gradients
    are projected, and the rest. Raises `InvalidConfigError` for a model without a list of layers, and for
    weights that are no matrices."""
    layers = tuple(f"{name}." for name in decoder_layers(model))
    for name, weight in model.named_parameters():
        if name.startswith(layers) and weight.ndim > 2:
            raise InvalidConfigError(
                f"training.optimizer: {optimizer} projects matrices, and {name} has "
                f"{weight.ndim} dimensions, as experts have. Use adamw8bit or adafactor"
            )
    matrices = {
        id(module.weight)
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear | Conv1D) and name.startswith(layers)
    }
    parts = []
    for group in groups:
        inside = [weight for weight in group["params"] if id(weight) in matrices]
        outside = [weight for weight in group["params"] if id(weight) not in matrices]
        parts += [{**group, "params": inside, **PROJECTION}] if inside else []
        parts += [{**group, "params": outside}] if outside else []
    return parts


_directions = GaLoreProjector.get_orthogonal_matrix


def _directions_alone(self: GaLoreProjector, weights: torch.Tensor, rank: int, type: str) -> torch.Tensor:
    """The library's are a view, which would keep all of the decomposition in memory and in checkpoints."""
    directions: torch.Tensor = _directions(self, weights, rank, type)
    return directions.clone()


class _Projections:
    """Takes up the projections of a checkpoint too."""

    state: dict[torch.Tensor, dict[str, Any]]

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes up a checkpoint, and brings projections, which are no tensors to torch, to their weights."""
        super().load_state_dict(state_dict)  # type: ignore[misc]  # of the library's class beside this one
        for weight, state in self.state.items():
            if "projector" in state:
                state["projector"].ortho_matrix = state["projector"].ortho_matrix.to(weight.device)


class GaLore(_Projections, GaLoreAdamW):  # type: ignore[misc]  # galore_torch is not typed
    """AdamW on projected gradients."""


class GaLoreFactored(_Projections, GaLoreAdafactor):  # type: ignore[misc]  # galore_torch is not typed
    """Adafactor on projected gradients."""


class _Exact:
    """A Schedule-Free optimizer that shows the average of the weights (`eval`), and goes on (`train`) from
    the very weights that it left. The library computes each from the other, which rounds: an evaluation or a
    checkpoint would change the run."""

    state: dict[torch.Tensor, dict[str, torch.Tensor]]
    param_groups: Groups

    @torch.no_grad()
    def eval(self) -> None:
        """Puts the average in the model's place. A checkpoint that is saved now holds both."""
        for group in self.param_groups:
            for weight in group["params"]:
                if group["train_mode"] and "z" in self.state[weight]:
                    self.state[weight][GOING_ON] = weight.detach().clone()
        super().eval()  # type: ignore[misc]  # of the library's class beside this one

    @torch.no_grad()
    def train(self) -> None:
        """Puts back what `eval` has replaced."""
        for group in self.param_groups:
            for weight in group["params"]:
                if not group["train_mode"] and GOING_ON in self.state[weight]:
                    weight.copy_(self.state[weight].pop(GOING_ON))
            group["train_mode"] = True


class ScheduleFreeAdamW(_Exact, AdamWScheduleFree):  # type: ignore[misc]  # schedulefree is not typed
    """AdamW with averaging in place of a schedule (Defazio et al. 2024, arXiv:2405.15682)."""


class ScheduleFreeRAdam(_Exact, RAdamScheduleFree):  # type: ignore[misc]  # schedulefree is not typed
    """RAdam with averaging: it does not move in its first four steps, until its second moments can be
    trusted, and so needs no warm-up."""


class ScheduleFreeSGD(_Exact, SGDScheduleFree):  # type: ignore[misc]  # schedulefree is not typed
    """SGD with averaging in place of a schedule, and the library's momentum of 0.9."""
