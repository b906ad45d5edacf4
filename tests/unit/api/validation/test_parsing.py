import pytest
import yaml

from finetune_api import InvalidJobError, check_manifest, parse_job


def only_finding(manifest):
    with pytest.raises(InvalidJobError) as refused:
        parse_job(manifest)
    [finding] = refused.value.findings
    return finding


@pytest.mark.parametrize(
    ("changes", "code", "path", "remedy"),
    [
        ({"model": None}, "MissingField", "model", "Set model"),
        (
            {"training.learningrate": 1e-4},
            "UnknownField",
            "training.learningrate",
            "Did you mean learningRate?",
        ),
        (
            {"training.learning_rate": 1e-4},
            "UnknownField",
            "training.learning_rate",
            "Did you mean learningRate?",
        ),
        ({"dataset.packed": True}, "UnknownField", "dataset.packed", "Did you mean packing?"),
        ({"trainning": {}}, "UnknownField", "trainning", "Did you mean training?"),
        ({"method.type": "lorra"}, "NotAllowed", "method.type", "Did you mean lora?"),
        ({"training.precision": "q"}, "NotAllowed", "training.precision", "Use one of these"),
        ({"training.epochs": 0}, "OutOfRange", "training.epochs", "Use a value over 0.0"),
        ({"training.microBatchSize": 0}, "OutOfRange", "training.microBatchSize", "Use 1 or more"),
        ({"distributed.zeroStage": 4}, "OutOfRange", "distributed.zeroStage", "Use 3 or less"),
        ({"dataset.evalSplit": 1}, "OutOfRange", "dataset.evalSplit", "Use a value under 1.0"),
        (
            {"training.learningRate": "2e-4"},
            "WrongType",
            "training.learningRate",
            "YAML reads 2e-4 as text: write 2.0e-4",
        ),
        (
            {"training.learningRate": "1e4"},
            "WrongType",
            "training.learningRate",
            "YAML reads 1e4 as text: write 1.0e+4",
        ),
        ({"training.maxSteps": "100"}, "WrongType", "training.maxSteps", "Remove the quotes: 100"),
        ({"training.epochs": "NaN"}, "WrongType", "training.epochs", "Give epochs a number"),
        ({"training.epochs": "٣"}, "WrongType", "training.epochs", "Give epochs a number"),
        ({"training.learningRate": float("nan")}, "OutOfRange", "training.learningRate", "learningRate"),
        ({"training.learningRate": float("inf")}, "OutOfRange", "training.learningRate", "learningRate"),
        ({"training.epochs": True}, "WrongType", "training.epochs", "epochs"),
        ({"suspend": 1}, "WrongType", "suspend", "suspend"),
        ({"model.id": 7}, "WrongType", "model.id", 'Put the value in quotes: id: "7"'),
        ({"model.id": "a/b/c"}, "Malformed", "model.id", "Write id as organisation/name"),
        ({"resources.memory": "8 GB"}, "Malformed", "resources.memory", "Write memory as a number"),
        ({"training": []}, "WrongType", "training", "training"),
        (
            {"resources.env": [{"name": "A"}, {"name": "A"}]},
            "Duplicate",
            "resources.env",
            "Remove or rename one of them",
        ),
        (
            {"resources.env": [{"name": "1A"}]},
            "Malformed",
            "resources.env[0].name",
            "Write name in that form",
        ),
    ],
)
def test_a_mistake_of_form_gives_one_finding_with_path_and_remedy(make_manifest, changes, code, path, remedy):
    finding = only_finding(make_manifest(changes))
    assert (finding.severity, finding.code, finding.path) == ("error", code, path)
    assert remedy in finding.remedy
    assert finding.message


@pytest.mark.parametrize(
    ("changes", "message", "remedy"),
    [
        (
            {"suspend": "yes"},
            "must be true or false",
            "Write suspend: true or suspend: false, without quotes",
        ),
        ({"training.epochs": "abc"}, "must be a number", "Give epochs a number, without quotes"),
        ({"training.epochs": True}, "must be a number", "Give epochs a number, without quotes"),
        (
            {"training.microBatchSize": 1.5},
            "must be a whole number",
            "Give microBatchSize a whole number, without quotes",
        ),
        (
            {"model.id": True},
            "must be text",
            "Put the value in quotes: without them, y, yes, on and true are all true",
        ),
        ({"model.id": ["a"]}, "must be text", "Write id as one text in quotes"),
        ({"model.id": ""}, "must have 1 character or more", "Give id 1 character or more"),
        ({"model.id": "x" * 5000}, "must have 128 characters or fewer", "Give id 128 characters or fewer"),
        (
            {"method.lora.targetModules": "q_proj"},
            "must be a list",
            "Write targetModules as a list: targetModules: [q_proj]",
        ),
        (
            {"method.lora.targetModules": []},
            "must have 1 entry or more",
            "Give targetModules 1 entry or more",
        ),
        (
            {"resources.env": ["A=1"]},
            "must be a mapping of fields",
            "Write env[0] as a mapping: the names of its fields below it, each with a value",
        ),
        (
            {"resources.nodeSelector": ["a"]},
            "must be a mapping",
            "Write nodeSelector as a mapping: the names of its fields below it, each with a value",
        ),
        (
            {"resources.env": [{"name": "A", "value": 12345}]},
            "must be text",
            "Write value as one text in quotes",
        ),
    ],
)
def test_a_wrong_type_or_length_says_what_to_write(make_manifest, changes, message, remedy):
    finding = only_finding(make_manifest(changes))
    assert (finding.message, finding.remedy) == (message, remedy)


def test_every_mistake_is_told_at_once(make_manifest):
    manifest = make_manifest({"training.epochs": 0, "training.seed": -1, "method.type": "x"})
    with pytest.raises(InvalidJobError) as refused:
        parse_job(manifest)
    assert {found.path for found in refused.value.findings} == {
        "training.epochs",
        "training.seed",
        "method.type",
    }


def test_the_error_reads_as_field_value_rule_remedy(make_manifest):
    finding = only_finding(make_manifest({"method.type": "lorra"}))
    assert str(finding).startswith("method.type: lorra must be one of full, freeze, lora,")
    assert str(finding).endswith("Did you mean lora?")


@pytest.mark.parametrize("manifest", [None, "text", [], 3])
def test_something_that_is_no_mapping_is_refused(manifest):
    finding = only_finding(manifest)
    assert (finding.code, finding.path) == ("WrongType", "")


@pytest.mark.parametrize("header", ["apiVersion", "kind"])
def test_a_manifest_says_what_it_is(make_manifest, header):
    manifest = make_manifest()
    del manifest[header]
    finding = only_finding(manifest)
    assert (finding.code, finding.path) == ("MissingField", header)


def test_another_kind_is_refused(make_manifest):
    finding = only_finding(make_manifest() | {"kind": "TrainJob"})
    assert (finding.code, finding.path) == ("NotAllowed", "kind")


def test_the_value_of_a_variable_is_never_shown(make_manifest):
    finding = only_finding(make_manifest({"resources.env": [{"name": "A", "value": "s" * 5000}]}))
    assert finding.path == "resources.env[0].value"
    assert finding.value is None
    assert "sss" not in str(finding)


def test_a_long_value_is_cut(make_manifest):
    finding = only_finding(make_manifest({"model.id": "x" * 5000}))
    assert len(str(finding.value)) < 200


def test_a_null_is_the_same_as_an_absent_field(make_manifest, make_job):
    manifest = make_manifest({"training": {"maxSteps": None}})
    manifest["spec"]["training"] = {"maxSteps": None, "epochs": None}
    assert parse_job(manifest) == make_job()


def test_metadata_of_the_api_server_is_no_mistake(make_manifest):
    manifest = make_manifest()
    manifest["metadata"] |= {"managedFields": [{"manager": "kubectl"}], "finalizers": ["x"]}
    assert parse_job(manifest).metadata.name == "dates"


def test_checking_never_raises_and_gives_every_finding(make_manifest):
    assert check_manifest("text")[0] is None
    job, findings = check_manifest(make_manifest({"training.learningRate": 0.01}))
    assert job is not None
    assert [found.code for found in findings] == ["HighLearningRate", "NoEvaluation", "NoTracker"]


def test_a_date_or_a_set_from_yaml_is_refused_with_a_finding(make_manifest):
    manifest = make_manifest({"model.revision": yaml.safe_load("2026-01-01")})
    assert only_finding(manifest).path == "model.revision"
