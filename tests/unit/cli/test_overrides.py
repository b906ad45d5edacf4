"""`--set` changes one field, typed as in a file."""

import pytest

from finetune_cli.overrides import OverrideError, apply_overrides

BODY = {"kind": "FineTuneJob", "spec": {"training": {"epochs": 3}, "resources": {"env": [{"name": "A"}]}}}


@pytest.mark.parametrize(
    ("assignment", "path", "value"),
    [
        ("training.learningRate=1e-4", ("training", "learningRate"), 1e-4),
        ("spec.training.epochs=5", ("training", "epochs"), 5),
        ("method.lora.rank=8", ("method", "lora", "rank"), 8),
        ("suspend=true", ("suspend",), True),
        ("model.id='8'", ("model", "id"), "8"),
        ("training.seed=", ("training", "seed"), ""),
        (
            "method.lora.targetModules=[q_proj, v_proj]",
            ("method", "lora", "targetModules"),
            ["q_proj", "v_proj"],
        ),
        (
            "distributed.deepspeedConfig.zero_optimization.stage=2",
            ("distributed", "deepspeedConfig", "zero_optimization", "stage"),
            2,
        ),
        (
            'resources.nodeSelector."kubernetes.io/arch"=amd64',
            ("resources", "nodeSelector", "kubernetes.io/arch"),
            "amd64",
        ),
        (
            r"resources.nodeSelector.kubernetes\.io/arch=amd64",
            ("resources", "nodeSelector", "kubernetes.io/arch"),
            "amd64",
        ),
        ('resources.nodeSelector."a=b"=c', ("resources", "nodeSelector", "a=b"), "c"),
        ("tracking.trackers[0].type=wandb", ("tracking", "trackers"), [{"type": "wandb"}]),
        ("resources.env[1].name=B", ("resources", "env"), [{"name": "A"}, {"name": "B"}]),
        ("resources.env[0].value=a=b", ("resources", "env", 0, "value"), "a=b"),
    ],
)
def test_a_value_lands_at_its_path(assignment: str, path: tuple[str | int, ...], value: object) -> None:
    changed: object = apply_overrides(BODY, [assignment])["spec"]
    for part in path:
        changed = changed[part]  # type: ignore[index]
    assert changed == value
    assert type(changed) is type(value)


def test_the_manifest_itself_is_left_as_it_was() -> None:
    apply_overrides(BODY, ["training.epochs=9"])
    assert BODY["spec"]["training"] == {"epochs": 3}  # type: ignore[index]


@pytest.mark.parametrize("value", ["null", "~"])
def test_null_removes_a_field(value: str) -> None:
    assert apply_overrides(BODY, [f"training.epochs={value}"])["spec"]["training"] == {}
    assert "preset" not in apply_overrides(BODY, ["preset=big", f"preset={value}"])["spec"]


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("training.epochs", "write PATH=VALUE"),
        ("training..epochs=1", "write PATH=VALUE"),
        ("training.epochs=[1", "line 1"),
        ("training.epochs.x=1", "has no fields"),
        ("resources.env[4].name=x", "no element [4]"),
        ("training.epochs=.nan", "no finite number"),
        ("training.epochs=!!bool x", "x is no bool"),
        ("training.epochs=1\n---\n2", "several documents"),
        ("model.id=\udcff", "no UTF-8 text"),
        ("tracking.trackers[1].type=wandb", "no element [1]"),
        ("a." * 2000 + "b=1", "over 100 parts"),
        ('resources."kubernetes.io=1', "write PATH=VALUE"),
    ],
)
def test_a_bad_assignment_is_refused_with_the_way_out(assignment: str, words: str) -> None:
    with pytest.raises(OverrideError, match=r"--set") as caught:
        apply_overrides(BODY, [assignment])
    assert words in str(caught.value)
