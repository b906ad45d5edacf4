import pytest

from finetune_api import InvalidJobError

ENV = "resources.env[0]"
VOLUME = "resources.volumes[0]"


def volume(**fields):
    return {"resources.volumes": [{"name": "data", "claimName": "data", "mountPath": "/data"} | fields]}


@pytest.mark.parametrize("name", ["cpu", "memory"])
def test_a_pod_needs_cpu_and_memory(brief, name):
    changes = {f"resources.{name}": "0", "resources.sharedMemory": "0"}
    assert brief(changes) == [("error", "OutOfRange", f"resources.{name}")]


def test_shared_memory_leaves_room_for_the_trainer(brief):
    assert brief({"resources.memory": "1Gi"}) == [("error", "Conflict", "resources.sharedMemory")]
    assert brief({"resources.memory": "1025Mi"}) == []


@pytest.mark.parametrize(
    "name", ["RANK", "WORLD_SIZE", "MASTER_ADDR", "KUBEFLOW_TRAINER_SERVER_URL", "TORCHELASTIC_RUN_ID"]
)
def test_variables_of_the_launcher_and_the_protocol_are_reserved(brief, name):
    assert brief({"resources.env": [{"name": name, "value": "x"}]}) == [("error", "Reserved", f"{ENV}.name")]


def test_other_variables_are_accepted(brief):
    assert brief({"resources.env": [{"name": "NCCL_DEBUG", "value": "INFO"}]}) == []


def test_a_variable_has_one_value(brief):
    secret = {"secretKeyRef": {"name": "s", "key": "k"}}
    changes = {"resources.env": [{"name": "A", "value": "x", "valueFrom": secret}]}
    assert brief(changes) == [("error", "Conflict", ENV)]


@pytest.mark.parametrize("name", ["HF_TOKEN", "DB_PASSWORD", "WANDB_API_KEY", "aws_secret_access_key"])
def test_a_secret_in_plain_text_is_warned_about_and_not_repeated(check, name):
    [found] = check({"resources.env": [{"name": name, "value": "hunter2"}]})
    assert (found.severity, found.code, found.path) == ("warning", "PlainSecret", f"{ENV}.value")
    assert "hunter2" not in found.model_dump_json()


def test_a_secret_from_a_secret_is_accepted(brief):
    secret = {"secretKeyRef": {"name": "hub", "key": "token"}}
    assert brief({"resources.env": [{"name": "HF_TOKEN", "valueFrom": secret}]}) == []


def test_a_value_has_no_nul_character(brief):
    changes = {"resources.env": [{"name": "A", "value": "x\x00y"}]}
    assert brief(changes) == [("error", "Malformed", f"{ENV}.value")]


@pytest.mark.parametrize(
    "mount",
    [
        "/etc/finetune",
        "/etc/finetune/x",
        "/etc",
        "/",
        "/finetune",
        "/finetune/data/train",
        "/tmp",
        "/tmp/x",
        "/dev/shm",
        "/var/run/secrets/finetune",
        "/var",
        "/run",
        "/proc",
    ],
)
def test_a_volume_may_not_hide_what_the_product_uses(brief, mount):
    assert brief(volume(mountPath=mount)) == [("error", "Reserved", f"{VOLUME}.mountPath")]


@pytest.mark.parametrize("mount", ["/data", "/tmpfiles", "/etc/finetuned", "/models/base"])
def test_other_mount_paths_are_accepted(brief, mount):
    assert brief(volume(mountPath=mount)) == []


@pytest.mark.parametrize("mount", ["data", "/data/../etc/finetune", "/a:b"])
def test_a_mount_path_is_absolute_and_clean(brief, mount):
    assert ("error", "UnsafePath", f"{VOLUME}.mountPath") in brief(volume(mountPath=mount))


def test_a_volume_has_one_source(brief):
    assert brief(volume(secret="s")) == [("error", "NotExactlyOne", VOLUME)]
    assert brief(volume(claimName=None)) == [("error", "NotExactlyOne", VOLUME)]


def test_a_sub_path_stays_in_its_volume(brief):
    assert brief(volume(subPath="a/../../b")) == [("error", "UnsafePath", f"{VOLUME}.subPath")]


def test_two_volumes_do_not_share_a_mount_path(brief):
    volumes = [{"name": name, "claimName": name, "mountPath": "/data"} for name in ("a", "b")]
    assert brief({"resources.volumes": volumes}) == [("error", "Duplicate", "resources.volumes[1].mountPath")]


def test_a_command_names_a_program(brief):
    assert brief({"resources.command": [" ", "x"]}) == [("error", "Malformed", "resources.command[0]")]
    assert brief({"resources.command": ["python", "/train.py", "$(HOME); rm -rf /"]}) == []


def test_an_argument_has_no_nul_character(brief):
    assert brief({"resources.command": ["python", "\x00"]}) == [
        ("error", "Malformed", "resources.command[1]")
    ]


def test_a_faster_provider_is_suggested_for_this_machine(brief):
    path = "resources.provider"
    assert brief({path: "local"}, "local") == [("suggestion", "LocalProvider", path)]
    assert brief({path: "cluster"}) == []


def test_a_cluster_does_not_run_what_is_for_the_machine_of_whoever_starts_it(brief):
    path = "resources.provider"
    assert sorted(brief({path: "local"})) == [
        ("error", "Conflict", path),
        ("suggestion", "LocalProvider", path),
    ]


def test_what_is_said_about_this_machine_names_only_what_can_be_done(check):
    remedies = [found.remedy for found in check({"resources.provider": "local"})]
    assert remedies == [
        "Train with finetune run, or set resources.provider to cluster",
        "Set resources.provider to cluster where there is one",
    ]


def test_a_resource_is_not_called_as_a_quota_calls_it(check):
    """Kubernetes refuses the pod."""
    [found] = check({"resources.accelerators.resourceName": "requests.nvidia.com/gpu"})
    assert (found.severity, found.code) == ("error", "Reserved")
    assert found.remedy == "Write nvidia.com/gpu"


@pytest.mark.parametrize("name", ["a..b/gpu", "a.-b/gpu", "nvidia.com/" + "g" * 64])
def test_a_resource_has_a_name_that_kubernetes_takes(make_job, name):
    with pytest.raises(InvalidJobError, match=r"resources\.accelerators\.resourceName"):
        make_job({"resources.accelerators.resourceName": name})


@pytest.mark.parametrize("name", ["a..b", "a.-b", "a-.b"])
@pytest.mark.parametrize("field", ["priorityClassName", "serviceAccountName", "runtimeClassName"])
def test_each_part_of_a_name_begins_and_ends_as_kubernetes_wants_it(make_job, field, name):
    with pytest.raises(InvalidJobError, match=f"resources.{field}"):
        make_job({f"resources.{field}": name})


@pytest.mark.parametrize("key", [".", "..", "..data"])
def test_a_key_does_not_begin_as_kubernetes_begins_its_own(make_job, key):
    with pytest.raises(InvalidJobError, match=r"model\.tokenSecret\.key"):
        make_job({"model.tokenSecret": {"name": "hub", "key": key}})
