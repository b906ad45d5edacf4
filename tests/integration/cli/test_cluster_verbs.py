"""The verbs for a cluster, against a real API server. The operator is played by patches of the status."""

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from finetune_cli.main import main
from operator_rig import wait_until

JOB = """\
apiVersion: finetune.dev/v1alpha1
kind: FineTuneJob
metadata: {{name: {name}}}
spec:
  preset: instruct
  model: {{id: org/model}}
  dataset: {{train: {{path: /data/train.jsonl}}}}
  checkpoints: {{storage: {{claimName: models}}}}
  resources: {{volumes: [{{name: data, mountPath: /data, claimName: data}}]}}
"""


@pytest.fixture
def submitted(finetune: Callable[..., int], tmp_path: Path) -> Callable[..., Path]:
    def submit(name: str, *words: str, status: int = 0) -> Path:
        file = tmp_path / f"{name}.yaml"
        file.write_text(JOB.format(name=name))
        assert finetune("submit", str(file), *words) == status
        return file

    return submit


def test_a_submitted_job_carries_its_preset_and_overrides(namespace, submitted, capsys) -> None:
    submitted("sent", "--set", "training.learningRate=1e-4")
    assert capsys.readouterr().out == "finetunejob.finetune.dev/sent\n"
    job = namespace.get("finetunejob", "sent")
    assert "preset" not in job["spec"]
    assert job["metadata"]["annotations"]["finetune.dev/preset"] == "instruct"
    assert job["spec"]["training"]["learningRate"] == 1e-4
    assert job["spec"]["training"]["microBatchSize"] == 4
    managers = json.loads(namespace.kubectl("get", "ftj", "sent", "-o", "json", "--show-managed-fields"))[
        "metadata"
    ]["managedFields"]
    assert [(entry["manager"], entry["operation"]) for entry in managers] == [("finetune", "Apply")]


PRESET = """\
apiVersion: finetune.dev/v1alpha1
kind: FineTunePreset
metadata: {name: ours}
spec: {title: Ours, values: {training: {epochs: 7}}}
"""


def test_a_preset_in_the_file_is_sent_before_the_job_that_names_it(
    namespace, finetune, tmp_path: Path, capsys
) -> None:
    file = tmp_path / "both.yaml"
    file.write_text(JOB.format(name="with-ours").replace("instruct", "ours") + "---\n" + PRESET)
    assert finetune("submit", str(file)) == 0
    sent = ["finetunepreset.finetune.dev/ours", "finetunejob.finetune.dev/with-ours"]
    assert capsys.readouterr().out.splitlines() == sent
    assert namespace.get("finetunepreset", "ours")["spec"]["title"] == "Ours"
    assert namespace.get("finetunejob", "with-ours")["spec"]["training"]["epochs"] == 7


def test_a_preset_that_only_the_cluster_has_is_filled_in_too(
    namespace, finetune, tmp_path: Path, capsys
) -> None:
    namespace.kubectl("apply", "--server-side", "-f", "-", stdin=PRESET.replace("ours", "theirs"))
    file = tmp_path / "job.yaml"
    file.write_text(JOB.format(name="with-theirs").replace("instruct", "theirs"))
    assert finetune("submit", str(file)) == 0
    assert namespace.get("finetunejob", "with-theirs")["spec"]["training"]["epochs"] == 7
    file.write_text(JOB.format(name="with-none").replace("instruct", "nobodys"))
    assert finetune("submit", str(file)) == 1
    assert "nobodys is not the name of a preset" in capsys.readouterr().err


def test_a_preset_that_no_job_could_use_is_not_sent(namespace, finetune, tmp_path: Path, capsys) -> None:
    file = tmp_path / "preset.yaml"
    file.write_text(PRESET.replace("ours", "wrong").replace("epochs: 7", "epoch: 7"))
    assert finetune("submit", str(file)) == 1
    assert "values.training.epoch" in capsys.readouterr().err
    assert namespace.get("finetunepreset", "wrong") == {}


def test_submitting_again_changes_nothing(namespace, submitted) -> None:
    submitted("again")
    before = namespace.get("finetunejob", "again")
    submitted("again")
    after = namespace.get("finetunejob", "again")
    assert after["spec"] == before["spec"]
    assert after["metadata"]["generation"] == 1


@pytest.mark.parametrize("dry_run", ["client", "server"])
def test_a_dry_run_shows_the_job_and_sends_nothing(namespace, submitted, capsys, dry_run) -> None:
    submitted(f"dry-{dry_run}", f"--dry-run={dry_run}", "-o", "json")
    shown = json.loads(capsys.readouterr().out)
    assert shown["spec"]["dataset"]["format"] == "alpaca"
    assert ("schedule" in shown["spec"]["training"]) is True
    assert namespace.get("finetunejob", f"dry-{dry_run}") == {}


def test_an_invalid_job_is_not_sent(namespace, submitted, capsys) -> None:
    submitted("invalid", "--set", "training.epochs=many", status=1)
    assert "training.epochs: many" in capsys.readouterr().err
    assert namespace.get("finetunejob", "invalid") == {}


def test_what_the_api_server_refuses_is_told_in_its_words(namespace, submitted, capsys) -> None:
    submitted("fixed")
    started = {"observedGeneration": 1, "startTime": "2026-01-02T03:04:05Z"}
    namespace.patch_status("ftj", "fixed", started)
    submitted("fixed", "--set", "training.learningRate=0.5", status=1)
    assert "spec.training can't change once the job has started" in capsys.readouterr().err


def test_another_manager_s_field_is_a_conflict_with_the_way_out(namespace, submitted, capsys) -> None:
    submitted("shared")
    namespace.kubectl("patch", "ftj", "shared", "--type=merge", "-p", '{"spec":{"training":{"epochs":9}}}')
    submitted("shared", status=1)
    assert "--force-conflicts" in capsys.readouterr().err
    submitted("shared", "--force-conflicts")
    assert namespace.get("finetunejob", "shared")["spec"]["training"]["epochs"] == 3


def test_list_and_get_print_the_columns_that_kubectl_prints(namespace, submitted, finetune, capsys) -> None:
    submitted("listed")
    namespace.patch_status("ftj", "listed", {"phase": "Running", "observedGeneration": 1})
    capsys.readouterr()
    assert finetune("list") == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split() == ["NAME", "PHASE", "PROGRESS", "LOSS", "TIME", "LEFT", "ATTEMPT", "AGE"]
    assert ["listed", "Running"] in [row.split()[:2] for row in rows]
    assert finetune("get", "listed", "-o", "wide") == 0
    assert "org/model" in capsys.readouterr().out
    assert finetune("get", "listed", "-o", "name") == 0
    assert capsys.readouterr().out == "finetunejob.finetune.dev/listed\n"
    assert finetune("get", "listed", "-o", "json") == 0
    assert json.loads(capsys.readouterr().out)["metadata"]["name"] == "listed"
    assert finetune("list", "-o", "yaml") == 0
    assert "kind: FineTuneJobList" in capsys.readouterr().out


def test_a_job_that_is_not_there_exits_with_1(finetune, capsys) -> None:
    assert finetune("get", "nobody") == 1
    assert 'finetunejobs.finetune.dev "nobody" not found' in capsys.readouterr().err


def test_suspend_and_resume_change_one_field(namespace, submitted, finetune) -> None:
    submitted("paused")
    assert finetune("suspend", "paused", "--dry-run=server") == 0
    assert namespace.get("finetunejob", "paused")["spec"]["suspend"] is False
    assert finetune("suspend", "paused") == 0
    assert namespace.get("finetunejob", "paused")["spec"]["suspend"] is True
    assert finetune("resume", "paused") == 0
    assert namespace.get("finetunejob", "paused")["spec"]["suspend"] is False


@pytest.mark.parametrize(("verb", "phase"), [("suspend", "Suspended"), ("resume", "Running")])
def test_suspend_and_resume_wait_until_it_is_so(namespace, submitted, finetune, verb, phase) -> None:
    name = f"waits-{verb}"
    submitted(name)
    namespace.kubectl("patch", "ftj", name, "--type=merge", "-p", '{"spec":{"suspend":true}}')
    generation = 2 if verb == "suspend" else 3
    state = {"phase": phase, "observedGeneration": generation}
    later = threading.Timer(0.5, namespace.patch_status, ("ftj", name, state))
    later.start()
    assert finetune(verb, name, "--wait", "--timeout", "30") == 0
    later.join()
    assert finetune("watch", name, "--timeout", "1") == 1, "it has not ended"


@pytest.mark.parametrize(("phase", "status"), [("Succeeded", 0), ("Cancelled", 1)])
def test_submit_waits_for_the_end_and_tells_it(namespace, submitted, capsys, phase, status) -> None:
    name = f"awaited-{status}"
    ended = {"phase": phase, "observedGeneration": 1}

    def end() -> None:
        wait_until("the job is there", lambda: namespace.get("finetunejob", name))
        namespace.patch_status("ftj", name, ended)

    later = threading.Thread(target=end)
    later.start()
    submitted(name, "--wait", "--timeout", "30", status=status)
    later.join()
    assert capsys.readouterr().out.endswith(f"{name}: {phase}\n")


def test_cancel_waits_for_the_end_and_cannot_be_taken_back(namespace, submitted, finetune) -> None:
    submitted("cancelled")
    over = {"phase": "Cancelled", "observedGeneration": 2}
    later = threading.Timer(0.5, namespace.patch_status, ("ftj", "cancelled", over))
    later.start()
    assert finetune("cancel", "cancelled", "--wait", "--timeout", "30") == 0
    later.join()
    assert namespace.get("finetunejob", "cancelled")["spec"]["cancel"] is True
    refused = namespace.kubectl(
        *("patch", "ftj", "cancelled", "--type=merge", "-p", '{"spec":{"cancel":false}}'), check=False
    )
    assert "patched" not in refused
    assert namespace.get("finetunejob", "cancelled")["spec"]["cancel"] is True


def test_describe_tells_conditions_and_events(namespace, submitted, finetune, capsys) -> None:
    submitted("described")
    condition = {
        "type": "Ready",
        "status": "False",
        "reason": "Progressing",
        "message": "It trains.",
        "lastTransitionTime": "2026-01-02T03:04:05Z",
    }
    namespace.patch_status("ftj", "described", {"phase": "Running", "conditions": [condition]})
    capsys.readouterr()
    assert finetune("describe", "described") == 0
    text = capsys.readouterr().out
    assert "Preset:     instruct" in text
    assert "Ready=False  Progressing  It trains." in text
    assert "Events:     none" in text


@pytest.mark.parametrize(("phase", "status"), [("Succeeded", 0), ("Failed", 1)])
def test_watch_ends_with_the_job_and_with_its_outcome(
    namespace, submitted, finetune, capsys, phase, status
) -> None:
    name = f"watched-{status}"
    submitted(name)
    later = threading.Timer(
        0.5, namespace.patch_status, ("ftj", name, {"phase": phase, "observedGeneration": 1})
    )
    later.start()
    assert finetune("watch", name, "--timeout", "30") == status
    later.join()
    assert capsys.readouterr().out.endswith(f"{name}: {phase}\n")


def test_waiting_ends_at_the_timeout(submitted, finetune, capsys) -> None:
    submitted("slow")
    assert finetune("watch", "slow", "--timeout", "1") == 1
    assert "slow: not done after 1 s" in capsys.readouterr().err


def test_a_deleted_job_is_gone_after_the_wait(namespace, submitted, finetune) -> None:
    submitted("deleted")
    assert finetune("delete", "deleted", "--wait", "--timeout", "30") == 0
    assert namespace.get("finetunejob", "deleted") == {}
    assert finetune("delete", "deleted") == 1


def test_a_job_without_pods_has_no_logs(submitted, finetune, capsys) -> None:
    submitted("silent")
    assert finetune("logs", "silent") == 1
    assert "silent has no pods" in capsys.readouterr().err


def test_a_cluster_that_does_not_answer_is_named(
    namespace, tmp_path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["list", "--kubeconfig", str(tmp_path / "none")]) == 2
    assert "no usable kubeconfig" in capsys.readouterr().err
