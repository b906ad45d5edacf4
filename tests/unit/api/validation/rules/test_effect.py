import pytest

FULL = {"method.type": "full", "training.learningRate": 1e-5}
SPECTRUM = FULL | {"method.type": "spectrum"}
FREEZE = FULL | {"method.type": "freeze"}


@pytest.mark.parametrize(
    ("changes", "field", "value"),
    [
        ({}, "quantization.computeType", "bf16"),
        ({}, "quantization.storageType", "bf16"),
        ({}, "quantization.doubleQuantization", False),
        ({}, "quantization.skipModules", ["q_proj"]),
        ({"quantization.type": "int8"}, "quantization.doubleQuantization", False),
        (FULL, "method.lora.rank", 64),
        (FULL, "method.lora.modulesToSave", ["lm_head"]),
        ({"method.lora.targetPattern": ".*_proj"}, "method.lora.targetModules", ["q_proj"]),
        ({}, "method.lora.pissaIterations", 4),
        (SPECTRUM | {"method.spectrum.layers": [1]}, "method.spectrum.topFraction", 0.25),
        (FREEZE | {"method.freeze.layers": [1]}, "method.freeze.fromLayer", "first"),
        ({"training.optimizer": "sgd"}, "training.adamBeta1", 0.95),
        ({"training.optimizer": "rmspropBnb"}, "training.adamBeta2", 0.95),
        ({"training.optimizer": "adafactor"}, "training.adamEpsilon", 1e-6),
        ({"training.optimizer": "lion8bit"}, "training.adamEpsilon", 1e-6),
    ],
)
def test_what_nothing_reads_is_told(check, changes, field, value):
    (found,) = check(changes | {field: value})
    assert (found.severity, found.code, found.path) == ("warning", "WithoutEffect", field)
    assert found.value == value
    assert found.remedy.startswith("Remove it, or ")
    assert check(changes) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"quantization.type": "nf4", "quantization.doubleQuantization": False},
        {"method.lora.initialization": "pissa", "method.lora.pissaIterations": 4},
        {"method.type": "pissa", "method.lora.pissaIterations": 4},
        SPECTRUM | {"method.spectrum.topFraction": 0.25},
        {"training.optimizer": "lion", "training.adamBeta2": 0.95},
        {"training.optimizer": "stableAdamw", "training.adamEpsilon": 1e-6},
        # what an API server fills in
        FULL | {"method.lora": {"rank": 16, "alpha": 32.0, "targetModules": ["all-linear"]}},
    ],
)
def test_what_is_read_and_what_is_the_default_is_not(brief, changes):
    assert brief(changes) == []


HUMAN_EVAL = {"type": "humanEval", "allowCodeExecution": True}
HARNESS = {"type": "lmEvaluationHarness", "tasks": ["hellaswag"]}
PROMPTS = {"type": "prompts", "prompts": {"hub": {"id": "a/b"}}}


@pytest.mark.parametrize(
    ("benchmark", "field", "value"),
    [
        (HUMAN_EVAL, "fewShot", 2),
        (HUMAN_EVAL, "match", "regex"),
        (HUMAN_EVAL, "tasks", ["hellaswag"]),
        (HARNESS, "match", "regex"),
        (HARNESS, "maxNewTokens", 8),
        (HARNESS, "prompts", {"hub": {"id": "a/b"}}),
        (PROMPTS, "tasks", ["hellaswag"]),
        (PROMPTS, "allowCodeExecution", True),
    ],
)
def test_each_benchmark_reads_its_own_settings(brief, benchmark, field, value):
    given = {"name": "b", **benchmark}
    assert brief({"evaluation.benchmarks": [given]}) == []
    assert brief({"evaluation.benchmarks": [given | {field: value}]}) == [
        ("warning", "WithoutEffect", f"evaluation.benchmarks[0].{field}")
    ]


@pytest.mark.parametrize(
    ("form", "column", "read"),
    [
        ("alpaca", "history", True),
        ("alpaca", "messages", False),
        ("csv", "history", False),
        ("messages", "system", True),
        ("messages", "prompt", False),
        ("sharegpt", "chosen", False),
        ("custom", "promptTemplate", True),
    ],
)
def test_each_format_reads_its_own_columns(brief, form, column, read):
    changes = {"dataset.format": form, "dataset.columns": {column: "other"}}
    told = [] if read else [("warning", "WithoutEffect", f"dataset.columns.{column}")]
    assert [finding for finding in brief(changes) if finding[0] != "suggestion"] == told
