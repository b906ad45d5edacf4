import pytest


@pytest.mark.parametrize(("key", "value"), [("a b", "x"), ("Example.com/a", "x"), ("a", "x y"), ("a", "-x")])
def test_a_node_selector_has_labels_that_nodes_can_have(brief, key, value):
    assert [found[:2] for found in brief({"resources.nodeSelector": {key: value}})] == [
        ("error", "Malformed")
    ]


@pytest.mark.parametrize(("key", "value"), [("gpu", ""), ("nvidia.com/gpu.product", "NVIDIA-H200")])
def test_usual_labels_are_accepted(brief, key, value):
    assert brief({"resources.nodeSelector": {key: value}}) == []


@pytest.mark.parametrize(
    ("toleration", "code", "field"),
    [
        ({"operator": "Equal", "value": "x"}, "Requires", ""),
        ({"key": "gpu", "operator": "Exists", "value": "x"}, "Conflict", ".value"),
        (
            {"key": "gpu", "operator": "Exists", "tolerationSeconds": 3},
            "Requires",
            ".tolerationSeconds",
        ),
    ],
)
def test_a_toleration_is_one_that_kubernetes_takes(brief, toleration, code, field):
    assert brief({"resources.tolerations": [toleration]}) == [
        ("error", code, f"resources.tolerations[0]{field}")
    ]


@pytest.mark.parametrize("toleration", [{"operator": "Exists"}, {"key": "gpu", "value": "yes"}])
def test_usual_tolerations_are_accepted(brief, toleration):
    assert brief({"resources.tolerations": [toleration]}) == []


@pytest.mark.parametrize(
    ("requirement", "code"),
    [
        ({"key": "a", "operator": "In"}, "Requires"),
        ({"key": "a", "operator": "Exists", "values": ["x"]}, "Conflict"),
        ({"key": "a", "operator": "Gt", "values": ["x"]}, "Malformed"),
        ({"key": "a", "operator": "Lt", "values": ["1", "2"]}, "Malformed"),
    ],
)
def test_an_affinity_has_conditions_that_kubernetes_takes(brief, requirement, code):
    term = {"nodeSelectorTerms": [{"matchExpressions": [requirement]}]}
    changes = {
        "resources.affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": term}}
    }
    [(severity, found, path)] = brief(changes)
    assert (severity, found) == ("error", code)
    assert path.startswith("resources.affinity.nodeAffinity.")
    assert path.endswith(".nodeSelectorTerms[0].matchExpressions[0].values")
