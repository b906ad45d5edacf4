import pytest

SCRATCH = {"model": {"config": {}, "tokenizer": {"train": {}}}, "method.type": "full"}


def test_a_model_from_scratch_with_a_tokenizer_is_accepted(brief):
    assert brief(SCRATCH) == []


@pytest.mark.parametrize(
    "model", [{}, {"id": "a/b", "path": "/models/b"}, {"id": "a/b", "config": {}, "tokenizer": {"id": "a/b"}}]
)
def test_a_model_comes_from_exactly_one_place(brief, model):
    assert ("error", "NotExactlyOne", "model") in brief({"model": model})


def test_a_revision_belongs_to_a_hub_id(brief):
    changes = {"model": {"path": "/models/b", "revision": "main"}}
    assert brief(changes) == [("error", "Requires", "model.revision")]


@pytest.mark.parametrize("path", ["models/b", "/models/../etc", "/models/\nb"])
def test_a_model_directory_in_the_cluster_is_absolute_and_clean(brief, path):
    assert brief({"model": {"path": path}}) == [("error", "UnsafePath", "model.path")]


def test_a_model_directory_on_this_machine_may_be_relative(brief):
    assert brief({"model": {"path": "models/b"}}, target="local") == []


def test_a_cache_directory_stays_in_its_volume(brief):
    changes = {"model.cache": {"claimName": "cache", "subPath": "../x"}}
    assert brief(changes) == [("error", "UnsafePath", "model.cache.subPath")]


def test_a_tokenizer_comes_from_one_place(brief):
    changes = {"model.tokenizer": {"id": "a/b", "path": "/t"}}
    assert brief(changes) == [("error", "NotExactlyOne", "model.tokenizer")]


def test_a_model_from_scratch_needs_a_tokenizer(brief):
    changes = {"model": {"config": {}}, "method.type": "full"}
    assert brief(changes) == [("error", "Requires", "model.tokenizer")]


def test_a_new_tokenizer_does_not_fit_a_trained_model(brief):
    assert brief({"model.tokenizer.train": {}}) == [("error", "Conflict", "model.tokenizer.train")]


def test_a_tokenizer_revision_belongs_to_a_hub_id(brief):
    changes = {"model.tokenizer.revision": "main"}
    assert brief(changes) == [("error", "Requires", "model.tokenizer.revision")]


def test_a_chat_template_is_given_once(brief):
    changes = {"model.tokenizer": {"chatTemplate": "{{ x }}", "chatTemplateName": "chatml"}}
    assert brief(changes) == [("error", "Conflict", "model.tokenizer.chatTemplate")]


def test_a_tokenizer_directory_in_the_cluster_is_absolute(brief):
    assert brief({"model.tokenizer.path": "t"}) == [("error", "UnsafePath", "model.tokenizer.path")]


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"hiddenSize": 100, "attentionHeads": 12}, "attentionHeads"),
        ({"attentionHeads": 12, "keyValueHeads": 5}, "keyValueHeads"),
        ({"hiddenSize": 36, "attentionHeads": 12}, "hiddenSize"),
        ({"vocabSize": 300}, "vocabSize"),
    ],
)
def test_the_numbers_of_an_architecture_fit_together(brief, config, field):
    changes = SCRATCH | {"model": {"config": config, "tokenizer": {"train": {"vocabSize": 2048}}}}
    assert brief(changes) == [("error", "InvalidArchitecture", f"model.config.{field}")]


@pytest.mark.parametrize("field", ["chatTemplate", "chatTemplateName"])
def test_a_chat_template_that_nothing_is_rendered_with_harms_nothing_and_is_a_warning(brief, field):
    unused = {f"model.tokenizer.{field}": "llama3", "dataset.preprocessing.useChatTemplate": False}
    assert brief(unused) == [("warning", "Conflict", f"model.tokenizer.{field}")]
    assert brief({"model.tokenizer.chatTemplateName": "plain"} | dict([unused.popitem()])) == []


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"experts": 4}, [("error", "Conflict", "model.config.experts")]),
        ({"architecture": "mixtral", "experts": 4}, []),
        (
            {"architecture": "mixtral", "expertsPerToken": 9},
            [("error", "InvalidArchitecture", "model.config.expertsPerToken")],
        ),
    ],
)
def test_experts_belong_to_mixtral_and_a_token_passes_no_more_than_there_are(brief, config, expected):
    assert brief(SCRATCH | {"model": {"config": config, "tokenizer": {"train": {}}}}) == expected


def test_sequences_are_not_longer_than_a_new_model_can_read(brief):
    changes = SCRATCH | {"training.maxSequenceLength": 2049}
    assert brief(changes) == [("error", "SequenceTooLong", "training.maxSequenceLength")]
    assert brief(SCRATCH | {"training.maxSequenceLength": 2048}) == []


def test_adapters_on_random_weights_are_warned_about(brief):
    assert brief(SCRATCH | {"method.type": "lora"}) == [("warning", "RandomBase", "method.type")]


def test_a_new_model_cannot_be_quantized(brief):
    assert ("error", "QuantizationConflict", "quantization.type") in brief(
        SCRATCH | {"quantization.type": "nf4"}
    )


def test_remote_code_is_warned_about(brief):
    assert brief({"model.trustRemoteCode": True}) == [("warning", "RemoteCode", "model.trustRemoteCode")]
