import pytest

TRAIN = "dataset.train"


@pytest.mark.parametrize("source", [{}, {"path": "/d", "hub": {"id": "a/b"}}])
def test_data_comes_from_exactly_one_place(brief, source):
    assert ("error", "NotExactlyOne", TRAIN) in brief({TRAIN: source})


def test_evaluation_data_comes_from_exactly_one_place_too(brief):
    assert brief({"dataset.eval": {}}) == [("error", "NotExactlyOne", "dataset.eval")]


@pytest.mark.parametrize("path", ["/train.jsonl", "../other/train.jsonl"])
def test_a_path_in_a_claim_stays_in_the_claim(brief, path):
    changes = {TRAIN: {"pvc": {"claimName": "data", "path": path}}}
    assert brief(changes) == [("error", "UnsafePath", f"{TRAIN}.pvc.path")]


def test_a_path_in_the_pod_is_absolute(brief):
    assert brief({TRAIN: {"path": "train.jsonl"}}) == [("error", "UnsafePath", f"{TRAIN}.path")]
    assert brief({TRAIN: {"path": "train.jsonl"}}, target="local") == []


def test_a_path_outside_every_volume_must_be_in_the_image(brief):
    volume = {"name": "data", "claimName": "data", "mountPath": "/data"}
    outside = ("suggestion", "OutsideVolumes", f"{TRAIN}.path")
    assert brief({TRAIN: {"path": "/data/train.jsonl"}}) == [outside]
    assert brief({TRAIN: {"path": "/data/train.jsonl"}, "resources.volumes": [volume]}) == []
    assert brief({TRAIN: {"path": "/database.jsonl"}, "resources.volumes": [volume]}) == [outside]


def test_an_access_key_comes_with_its_secret_key(brief):
    key = {"name": "s3", "key": "id"}
    changes = {TRAIN: {"s3": {"uri": "s3://bucket/train", "accessKeySecret": key}}}
    assert brief(changes) == [("error", "Requires", f"{TRAIN}.s3")]


def test_a_store_is_asked_with_a_key_or_without_identity_but_not_both(brief):
    key = {"name": "s3", "key": "id"}
    source = {"uri": "s3://bucket/train", "anonymous": True}
    assert brief({TRAIN: {"s3": source}}) == []
    both = source | {"accessKeySecret": key, "secretKeySecret": key}
    assert brief({TRAIN: {"s3": both}}) == [("error", "Conflict", f"{TRAIN}.s3.anonymous")]


def test_evaluation_data_is_given_or_held_out_but_not_both(brief):
    changes = {"dataset.eval": {"hub": {"id": "a/b"}}, "dataset.evalSplit": 0.1}
    assert brief(changes) == [("error", "Conflict", "dataset.evalSplit")]


def test_text_for_pretraining_is_one_stream_and_not_packed(brief):
    changes = {"dataset.format": "text", "training.stage": "pretrain", "dataset.packing": True}
    assert ("error", "Conflict", "dataset.packing") in brief(changes)


@pytest.mark.parametrize(
    ("form", "stage", "suits"),
    [
        ("alpaca", "sft", True),
        ("csv", "sft", True),
        ("text", "sft", False),
        ("text", "pretrain", True),
        ("alpaca", "pretrain", False),
        ("preference", "sft", False),
        ("preference", "dpo", True),
        ("preference", "rm", True),
        ("messages", "dpo", False),
        ("messages", "kto", True),
        ("preference", "kto", True),
        ("preference", "grpo", False),
        ("text", "kto", False),
    ],
)
def test_the_format_suits_the_stage(brief, form, stage, suits):
    changes = {"dataset.format": form, "training.stage": stage, "training.microBatchSize": 2}
    if stage == "grpo":
        changes["training.grpo.rewardFunctions"] = ["ended"]
    found = brief(changes)
    assert found == ([] if suits else [("error", "FormatStageMismatch", "dataset.format")])


def test_the_custom_format_needs_columns(brief):
    assert brief({"dataset.format": "custom"}) == [("error", "Requires", "dataset.columns")]
    assert brief({"dataset.format": "custom", "dataset.columns.instruction": "question"}) == []


@pytest.mark.parametrize(("scheme", "warned"), [("http", True), ("https", False)])
def test_a_token_travels_encrypted(brief, scheme, warned):
    http = {"url": f"{scheme}://example.org/train.jsonl", "tokenSecret": {"name": "s", "key": "k"}}
    found = brief({TRAIN: {"http": http}})
    assert found == ([("warning", "PlainSecret", f"{TRAIN}.http.url")] if warned else [])


@pytest.mark.parametrize(("samples", "enough"), [(9, False), (10, True)])
def test_a_share_that_is_held_out_is_a_record_at_least(brief, samples, enough):
    found = brief({"dataset.maxSamples": samples, "dataset.evalSplit": 0.1})
    assert found == ([] if enough else [("error", "OutOfRange", "dataset.evalSplit")])


@pytest.mark.parametrize(
    ("form", "columns", "refused"),
    [
        ("alpaca", {"instruction": "q", "output": "q"}, "output"),
        ("alpaca", {"instruction": "output"}, "instruction"),
        ("alpaca", {"instruction": "q", "output": "input"}, "output"),
        ("alpaca", {"instruction": "q", "output": "input", "input": "more"}, None),
        ("csv", {"instruction": "q", "output": "input"}, None),
        ("csv", {"output": "input"}, "output"),
        ("preference", {"chosen": "a", "rejected": "a"}, "rejected"),
        ("messages", {"messages": "turns", "role": "turns"}, None),
        ("custom", {"instruction": "q", "output": "q"}, "output"),
        ("custom", {"instruction": "output", "output": "input"}, None),
    ],
)
def test_a_column_is_one_part_of_a_record(brief, form, columns, refused):
    stage = "dpo" if form == "preference" else "sft"
    changes = {"dataset.format": form, "dataset.columns": columns, "training.stage": stage}
    told = [("error", "Conflict", f"dataset.columns.{refused}")] if refused else []
    assert [finding for finding in brief(changes) if finding[0] == "error"] == told
