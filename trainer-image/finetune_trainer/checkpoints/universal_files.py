"""The universal layout on disk: every trained weight in whole, whatever number of ranks wrote it.

<directory>/zero/
    optimizer_state.pt
    NAME OF A TRAINED WEIGHT/
        fp32.pt  exp_avg.pt  exp_avg_sq.pt  step.pt      value, Adam's two moments, number of updates

It is DeepSpeed's own layout, so that its ZeRO stages can read it.
"""

import argparse
import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

NAMES_FILE = "optimizer_names.json"
"""The weights in the order in which the optimizer counts them; written beside an optimizer that is whole."""

MOMENTS = ("exp_avg", "exp_avg_sq")

GROUPS = 256
"""More parameter groups than an optimizer has here; the loader pairs off as many as there are."""


def take_apart(checkpoint: Path, target: Path) -> None:
    """Writes what a checkpoint holds to a new directory. Raises whatever torch and DeepSpeed raise for one
    that they cannot take apart."""
    shards = sorted(checkpoint.glob("global_step*/*_optim_states.pt"))
    if shards:
        _from_shards(shards[0].parent, target)
    else:
        _from_whole(checkpoint, target)


def _from_shards(source: Path, target: Path) -> None:
    """By DeepSpeed's own converter; ZeRO-3's bare vectors then get the form that all stages read."""
    from deepspeed.checkpoint import ds_to_universal

    with contextlib.redirect_stdout(sys.stderr):
        ds_to_universal.main(
            argparse.Namespace(
                input_folder=str(source),
                output_folder=str(target),
                num_extract_workers=1,
                num_merge_workers=1,
                keep_temp_folder=False,
                strict=True,
                inject_missing_state=True,
            )
        )
    zero = target / "zero"
    (target.parent / "latest_universal").unlink()
    whole = torch.load(zero / "optimizer_state.pt", map_location="cpu", weights_only=False)
    by_rank = sorted(source.glob("*_model_states.pt"))[0]
    groups = torch.load(by_rank, map_location="cpu", weights_only=False)["param_shapes"]
    shapes = (
        {name: shape for group in groups for name, shape in group.items()} if isinstance(groups, list) else {}
    )
    step: torch.Tensor | None = None
    for folder in sorted(path.parent for path in zero.glob("*/fp32.pt")):
        for kind in ("fp32", *MOMENTS):
            file = folder / f"{kind}.pt"
            if file.is_file() and not isinstance(content := _load(file), dict):
                _write(file, content.view(shapes[folder.name]))
        if (folder / "step.pt").is_file():
            step = torch.tensor(float(_load(folder / "step.pt")))
    if step is None:
        step = torch.tensor(float(whole["optimizer_state_dict"]["state"][0]["step"]))
    for folder in (path.parent for path in zero.glob("*/exp_avg.pt")):
        torch.save(step, folder / "step.pt")
    _write_globals(zero, step)


def _from_whole(checkpoint: Path, target: Path) -> None:
    """From an optimizer state that no rank has a part of: `optimizer.pt`, or DeepSpeed's stage 0."""
    state = _whole_optimizer(checkpoint)["state"]
    names: list[str] = json.loads((checkpoint / NAMES_FILE).read_text(encoding="utf-8"))
    if set(state) != set(range(len(names))):
        raise ValueError(f"the optimizer holds {len(state)} states for {len(names)} weights")
    zero = target / "zero"
    for name, weight in _weights(checkpoint, names):
        moments = state[names.index(name)]
        folder = zero / name
        folder.mkdir(parents=True)
        _write(folder / "fp32.pt", weight.float())
        for moment in MOMENTS:
            _write(folder / f"{moment}.pt", moments[moment].float())
        torch.save(torch.tensor(float(moments["step"])), folder / "step.pt")
    _write_globals(zero, torch.tensor(float(state[0]["step"])))


def _whole_optimizer(checkpoint: Path) -> dict[str, Any]:
    plain = checkpoint / "optimizer.pt"
    if plain.is_file():
        found: dict[str, Any] = torch.load(plain, map_location="cpu", weights_only=True)
        return found
    (stage_0,) = checkpoint.glob("global_step*/mp_rank_00_model_states.pt")
    held: dict[str, Any] = torch.load(stage_0, map_location="cpu", weights_only=False)["optimizer"]
    if "state" not in held:
        raise ValueError(
            "its 16-bit optimizer state is not one that can be taken apart; only ZeRO-1 to 3's is"
        )
    return held


def _weights(checkpoint: Path, names: list[str]) -> Iterator[tuple[str, torch.Tensor]]:
    """The named weights from the checkpoint's safetensors, where PEFT leaves the adapter's name out."""
    wanted = {_stored_name(name): name for name in names}
    for file in sorted(checkpoint.glob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            for key in tensors.keys():  # noqa: SIM118 - no mapping
                if key in wanted:
                    yield wanted.pop(key), tensors.get_tensor(key)
    if wanted:
        raise KeyError(f"{sorted(wanted)[0]} and {len(wanted) - 1} more weights are not in its safetensors")


def _stored_name(name: str) -> str:
    return name.replace(".modules_to_save.default", "").replace(".default", "")


def _write(file: Path, tensor: torch.Tensor) -> None:
    torch.save({"param": tensor.clone(), "cat_dim": 0}, file)


def read(file: Path) -> torch.Tensor:
    """One value of one weight, on the CPU."""
    content = _load(file)
    tensor: torch.Tensor = content["param"] if isinstance(content, dict) else content
    return tensor


def _load(file: Path) -> Any:
    return torch.load(file, map_location="cpu", weights_only=False)


def _write_globals(zero: Path, step: torch.Tensor) -> None:
    """What DeepSpeed's loaders want to know beside the weights. Groups are left empty: this attempt's own
    rates and decays hold (DeepSpeed's ZeRO-3 would give all groups those of the first)."""
    import deepspeed

    state = {
        "ds_version": deepspeed.__version__,
        "param_groups": [{} for _ in range(GROUPS)],
        "optimizer_state_dict": {"state": {0: {"step": step}}, "param_groups": [{}]},
    }
    torch.save(state, zero / "optimizer_state.pt")
