import pytest

LONG_NAME = "n" * 64
NOT_LABEL_KEYS = [
    "a b",
    "Example.com/a",
    "a..b/c",
    "a.-b/c",
    "a/b/c",
    "/a",
    "a/",
    LONG_NAME,
    "d" * 254 + "/a",
]


@pytest.mark.parametrize(
    ("key", "value"), [*((key, "x") for key in NOT_LABEL_KEYS), ("a", "x y"), ("a", "-x"), ("a", "x/y")]
)
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
        ({"key": "not a key", "operator": "Exists"}, "Malformed", ".key"),
        ({"key": "gpu", "value": "not a value"}, "Malformed", ".value"),
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


NODES = "resources.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0]"


def of_nodes(**term):
    needed = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    return {"resources.affinity": {"nodeAffinity": needed}}


@pytest.mark.parametrize(
    ("condition", "code", "field"),
    [
        ({"key": "not a key", "operator": "Exists"}, "Malformed", "key"),
        ({"key": "a", "operator": "In", "values": ["x", "not a value"]}, "Malformed", "values[1]"),
        ({"key": "a", "operator": "Gt", "values": ["²"]}, "Malformed", "values"),
    ],
)
def test_an_affinity_has_labels_that_nodes_can_have(brief, condition, code, field):
    assert brief(of_nodes(matchExpressions=[condition])) == [
        ("error", code, f"{NODES}.matchExpressions[0].{field}")
    ]


@pytest.mark.parametrize(
    ("condition", "code", "field"),
    [
        ({"key": "spec.podCIDR", "operator": "In", "values": ["x"]}, "NotAllowed", "key"),
        ({"key": "metadata.name", "operator": "Exists"}, "NotAllowed", "operator"),
        ({"key": "metadata.name", "operator": "In", "values": ["a", "b"]}, "Requires", "values"),
        ({"key": "metadata.name", "operator": "NotIn", "values": ["Node_1"]}, "Malformed", "values[0]"),
    ],
)
def test_of_a_nodes_fields_its_name_alone_is_compared(brief, condition, code, field):
    assert brief(of_nodes(matchFields=[condition])) == [("error", code, f"{NODES}.matchFields[0].{field}")]


PODS = "resources.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0]"


def of_pods(**term):
    near = {"topologyKey": "kubernetes.io/hostname"} | term
    return {"resources.affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [near]}}}


@pytest.mark.parametrize("selector", ["labelSelector", "namespaceSelector"])
@pytest.mark.parametrize(
    ("selected", "code", "field"),
    [
        ({"matchLabels": {"not a key": "x"}}, "Malformed", "matchLabels.not a key"),
        ({"matchLabels": {"a": "not a value"}}, "Malformed", "matchLabels.a"),
        ({"matchExpressions": [{"key": "-", "operator": "Exists"}]}, "Malformed", "matchExpressions[0].key"),
        (
            {"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["1"]}]},
            "NotAllowed",
            "matchExpressions[0].operator",
        ),
    ],
)
def test_a_selector_has_labels_that_pods_can_have(brief, selector, selected, code, field):
    assert brief(of_pods(**{selector: selected})) == [("error", code, f"{PODS}.{selector}.{field}")]


def test_what_is_near_is_said_by_a_label_key(check):
    [found] = check(of_pods(topologyKey="no topology"))
    assert (found.code, found.path, found.value) == ("Malformed", f"{PODS}.topologyKey", "no topology")


def test_usual_affinities_are_accepted(brief):
    zones = {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["eu-1a", "eu-1b"]}
    assert brief(of_nodes(matchExpressions=[zones, {"key": "gpus", "operator": "Gt", "values": ["3"]}])) == []
    named = {"key": "metadata.name", "operator": "NotIn", "values": ["node-1.example.org"]}
    assert brief(of_nodes(matchFields=[named])) == []
    apart = {"matchLabels": {"app": "train"}, "matchExpressions": [{"key": "a", "operator": "Exists"}]}
    assert brief(of_pods(labelSelector=apart)) == []
