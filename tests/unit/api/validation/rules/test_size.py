from finetune_api.validation.rules.size import MAX_SPEC_BYTES

CONFIG = "distributed.deepspeedConfig"


def test_a_spec_leaves_room_for_the_status(check):
    [found] = check({CONFIG: {"comment": "x" * MAX_SPEC_BYTES}})
    assert (found.severity, found.code, found.path) == ("error", "OutOfRange", "distributed")
    assert str(MAX_SPEC_BYTES) in found.message
    assert "ConfigMap" in found.remedy


def test_a_long_spec_below_the_limit_is_accepted(brief):
    assert brief({CONFIG: {"comment": "x" * (MAX_SPEC_BYTES - 16_384)}}) == []


def test_bytes_count_and_not_characters(brief):
    assert brief({CONFIG: {"comment": "ü" * (MAX_SPEC_BYTES // 2)}}) == [
        ("error", "OutOfRange", "distributed")
    ]


def test_small_parts_count_with_the_lines_that_they_take_in_a_configmap(brief):
    """Numbers, nested: 2 bytes each as the manifest has them, ten times that below many brackets."""
    numbers: object = [1] * 20_000
    for _ in range(10):
        numbers = [numbers]
    assert brief({CONFIG: {"comment": numbers}}) == [("error", "OutOfRange", "distributed")]
