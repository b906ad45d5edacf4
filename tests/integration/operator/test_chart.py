"""The chart: the same at every rendering, restricted, no more rights than are used, and checked values."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from finetune_operator.serving.admission_server import PATH
from finetune_operator.serving.registration import WEBHOOK
from finetune_operator.settings import load_settings
from onenode import ControlPlane
from onenode.binaries import binary, build
from operator_rig import SYSTEM, Manifest

CHART = Path(__file__).parents[3] / "charts/finetune-operator"


def helm(*args: str) -> subprocess.CompletedProcess[str]:
    build(["helm"])
    return subprocess.run([str(binary("helm")), *args], capture_output=True, text=True, check=False)


def rendered(*options: str) -> list[Manifest]:
    done = helm("template", "finetune", str(CHART), "-n", SYSTEM, *options)
    assert done.returncode == 0, done.stderr
    return [manifest for manifest in yaml.safe_load_all(done.stdout) if manifest]


def of_kind(manifests: list[Manifest], kind: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def test_lint_finds_nothing() -> None:
    done = helm("lint", "--strict", str(CHART))
    assert done.returncode == 0, done.stdout + done.stderr


def test_renders_the_same_every_time_so_that_gitops_sees_no_drift(rendered_chart: list[Manifest]) -> None:
    assert rendered() == rendered_chart


def test_the_api_server_accepts_all_of_it(
    control_plane: ControlPlane, installation: Path, rendered_chart: list[Manifest]
) -> None:
    text = yaml.safe_dump_all([*rendered_chart, *rendered("--set=networkPolicy.enabled=true")])
    control_plane.kubectl("apply", "--server-side", "--dry-run=server", "-f", "-", input=text)


def test_the_operators_pod_is_admitted_under_the_restricted_profile(
    control_plane: ControlPlane, installation: Path, rendered_chart: list[Manifest]
) -> None:
    name = "restricted-profile"
    level = "pod-security.kubernetes.io/enforce"
    namespace = {
        "kind": "Namespace",
        "apiVersion": "v1",
        "metadata": {"name": name, "labels": {level: "restricted"}},
    }
    control_plane.kubectl("apply", "-f", "-", input=yaml.safe_dump(namespace))
    [deployment] = of_kind(rendered_chart, "Deployment")
    template = deployment["spec"]["template"]
    spec = {**template["spec"], "serviceAccountName": "default"}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "operator"}, "spec": spec}
    control_plane.kubectl("-n", name, "create", "--dry-run=server", "-f", "-", input=yaml.safe_dump(pod))
    pod["spec"] = {**spec, "hostNetwork": True}
    refusal = control_plane.kubectl(
        "-n", name, "create", "--dry-run=server", "-f", "-", input=yaml.safe_dump(pod), check=False
    )
    assert "violates PodSecurity" in refusal


def test_no_secret_of_another_namespace_can_be_read(rendered_chart: list[Manifest]) -> None:
    for role in of_kind(rendered_chart, "ClusterRole"):
        for rule in role["rules"]:
            assert not {"secrets", "*"} & set(rule["resources"]), role["metadata"]["name"]
            assert "*" not in rule["verbs"], role["metadata"]["name"]


def test_the_account_may_do_no_more_than_its_roles_say(
    control_plane: ControlPlane, installation: Path
) -> None:
    def may(*what: str) -> str:
        account = f"--as=system:serviceaccount:{SYSTEM}:finetune-operator"
        return control_plane.kubectl("auth", "can-i", *what, account, check=False).strip()

    assert may("create", "jobs.batch", "-n", "anywhere") == "yes"
    assert may("update", "secrets/finetune-operator-tls", "-n", SYSTEM) == "yes"
    assert may("watch", "finetunepresets.finetune.dev", "-n", "anywhere") == "yes"
    assert may("patch", "validatingwebhookconfigurations/finetune-operator").startswith("yes")
    assert may("list", "nodes").startswith("yes")
    for forbidden in (
        ("get", "nodes"),
        ("watch", "nodes"),
        ("get", "secrets", "-n", SYSTEM),
        ("get", "secrets", "-n", "anywhere"),
        ("patch", "validatingwebhookconfigurations/another"),
        ("update", "validatingwebhookconfigurations/finetune-operator"),
        ("delete", "validatingwebhookconfigurations/finetune-operator"),
        ("create", "validatingwebhookconfigurations"),
        ("patch", "finetunejobs.finetune.dev", "-n", "anywhere"),
        ("update", "finetunejobs.finetune.dev", "-n", "anywhere"),
        ("update", "finetunepresets.finetune.dev", "-n", "anywhere"),
        ("delete", "persistentvolumeclaims", "-n", "anywhere"),
        ("create", "pods", "-n", "anywhere"),
        ("create", "pods/exec", "-n", "anywhere"),
    ):
        assert may(*forbidden).startswith("no"), forbidden


def test_with_a_list_of_namespaces_the_rights_end_there() -> None:
    manifests = rendered("--set=watchNamespaces={one,two}")
    assert {b["metadata"]["name"] for b in of_kind(manifests, "ClusterRoleBinding")} == {
        "finetune-operator-nodes",
        "finetune-operator-tokens",
        "finetune-operator-webhook",
    }
    bound = {b["metadata"]["namespace"] for b in of_kind(manifests, "RoleBinding")}
    assert bound == {"one", "two", SYSTEM}
    [webhook] = webhooks(manifests)
    [selected] = webhook["namespaceSelector"]["matchExpressions"]
    assert (selected["key"], selected["values"]) == ("kubernetes.io/metadata.name", ["one", "two"])


def test_the_right_to_list_nodes_can_be_left_out() -> None:
    manifests = rendered("--set=estimates.readNodes=false")
    kinds = ("ClusterRole", "ClusterRoleBinding")
    names = {found["metadata"]["name"] for kind in kinds for found in of_kind(manifests, kind)}
    assert "finetune-operator-nodes" not in names
    assert settings_in(manifests)["readNodes"] is False


def test_an_administrators_hardware_reaches_the_operator() -> None:
    given = {"accelerators": [{"name": "h100"}], "pue": 1.1}
    manifests = rendered(f"--set-json=estimates.hardware={json.dumps(given)}")
    assert settings_in(manifests)["hardware"] == given


def webhooks(manifests: list[Manifest]) -> list[Manifest]:
    return [
        hook for found in of_kind(manifests, "ValidatingWebhookConfiguration") for hook in found["webhooks"]
    ]


def settings_in(manifests: list[Manifest]) -> Manifest:
    [config] = of_kind(manifests, "ConfigMap")
    settings: Manifest = yaml.safe_load(config["data"]["settings.yaml"])
    return settings


class TestTheWebhook:
    def test_lets_jobs_pass_while_the_operator_is_down_unless_told_otherwise(self) -> None:
        assert [hook["failurePolicy"] for hook in webhooks(rendered())] == ["Ignore"]
        strict = rendered("--set=webhook.failurePolicy=Fail")
        assert [hook["failurePolicy"] for hook in webhooks(strict)] == ["Fail"]

    def test_leads_to_the_port_that_the_operator_serves(self) -> None:
        manifests = rendered("--set=webhook.port=10443", "--set=networkPolicy.enabled=true")
        [webhook] = webhooks(manifests)
        service = webhook["clientConfig"]["service"]
        assert (service["port"], service["path"]) == (10443, PATH)
        assert service["namespace"] == SYSTEM
        [target] = [s for s in of_kind(manifests, "Service") if s["metadata"]["name"] == service["name"]]
        assert {"name": "webhook", "port": 10443, "targetPort": "webhook"} in target["spec"]["ports"]
        [deployment] = of_kind(manifests, "Deployment")
        [container] = deployment["spec"]["template"]["spec"]["containers"]
        assert {"name": "webhook", "containerPort": 10443} in container["ports"]
        assert settings_in(manifests)["webhook"]["port"] == 10443
        [policy] = of_kind(manifests, "NetworkPolicy")
        assert {"ports": [{"port": "webhook"}]} in policy["spec"]["ingress"]

    def test_gets_its_authority_from_the_operator_by_default(self) -> None:
        manifests = rendered()
        [configuration] = of_kind(manifests, "ValidatingWebhookConfiguration")
        assert settings_in(manifests)["webhook"]["configuration"] == configuration["metadata"]["name"]
        assert settings_in(manifests)["statusServer"]["makeCertificate"] is True
        assert "annotations" not in configuration["metadata"]
        assert [hook["name"] for hook in configuration["webhooks"]] == [WEBHOOK]

    def test_gets_its_authority_from_the_operator_for_a_given_secret_too(self) -> None:
        manifests = rendered("--set=tls.secretName=mine")
        assert settings_in(manifests)["webhook"]["configuration"] == "finetune-operator"
        assert settings_in(manifests)["statusServer"]["tlsSecret"] == "mine"
        assert settings_in(manifests)["statusServer"]["makeCertificate"] is False
        assert secret_rights(manifests) == [(("mine",), ("get",))]

    def test_keeps_the_authority_that_is_given(self) -> None:
        manifests = rendered("--set=webhook.caBundle=QUJD", "--set=tls.secretName=mine")
        assert [hook["clientConfig"]["caBundle"] for hook in webhooks(manifests)] == ["QUJD"]
        assert "configuration" not in settings_in(manifests)["webhook"]
        assert "finetune-operator-webhook" not in {m["metadata"]["name"] for m in manifests}

    def test_gets_certificate_and_authority_from_cert_manager(self) -> None:
        manifests = rendered("--set=tls.certManager.issuerRef.name=ca")
        [configuration] = of_kind(manifests, "ValidatingWebhookConfiguration")
        [certificate] = of_kind(manifests, "Certificate")
        injected = configuration["metadata"]["annotations"]["cert-manager.io/inject-ca-from"]
        assert injected == f"{SYSTEM}/{certificate['metadata']['name']}"
        assert f"finetune-operator.{SYSTEM}.svc" in certificate["spec"]["dnsNames"]
        settings = settings_in(manifests)
        assert certificate["spec"]["secretName"] == settings["statusServer"]["tlsSecret"]
        assert settings["statusServer"]["makeCertificate"] is False
        assert "configuration" not in settings["webhook"]
        assert "finetune-operator-webhook" not in {m["metadata"]["name"] for m in manifests}
        assert secret_rights(manifests) == [(("finetune-operator-tls",), ("get",))]

    def test_can_be_left_out(self) -> None:
        manifests = rendered("--set=webhook.enabled=false", "--set=networkPolicy.enabled=true")
        assert webhooks(manifests) == []
        assert "webhook" not in settings_in(manifests)
        assert "name: webhook" not in yaml.safe_dump_all(
            m for m in manifests if m["kind"] != "CustomResourceDefinition"
        )

    def test_keeps_its_authority_through_an_upgrade_and_goes_with_an_uninstall(
        self, control_plane: ControlPlane
    ) -> None:
        target = (f"--kubeconfig={control_plane.kubeconfig}", "--namespace=released")
        chosen = ("--set=nameOverride=released", "--set=crds.enabled=false")
        found = ("get", "validatingwebhookconfigurations", "released", "--ignore-not-found", "-o")

        def release(verb: str, *options: str) -> None:
            done = helm(verb, "released", *options, *target)
            assert done.returncode == 0, done.stderr

        release("install", str(CHART), "--create-namespace", *chosen)
        bundle = {"webhooks": [{"name": WEBHOOK, "clientConfig": {"caBundle": "QUJD"}}]}
        as_operator = ("--type=strategic", "--field-manager=finetune-operator", "-p", json.dumps(bundle))
        control_plane.kubectl("patch", "validatingwebhookconfiguration", "released", *as_operator)
        release("upgrade", str(CHART), *chosen, "--set=webhook.timeoutSeconds=7")
        [webhook] = json.loads(control_plane.kubectl(*found, "json"))["webhooks"]
        assert (webhook["clientConfig"]["caBundle"], webhook["timeoutSeconds"]) == ("QUJD", 7)
        release("uninstall")
        assert control_plane.kubectl(*found, "name") == ""


def secret_rights(manifests: list[Manifest]) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    return [
        (tuple(rule.get("resourceNames", ())), tuple(rule["verbs"]))
        for role in of_kind(manifests, "Role")
        for rule in role["rules"]
        if "secrets" in rule["resources"]
    ]


def test_crds_stay_on_uninstall_unless_told_otherwise() -> None:
    def policies(*options: str) -> list[str | None]:
        crds = of_kind(rendered(*options), "CustomResourceDefinition")
        return [crd["metadata"].get("annotations", {}).get("helm.sh/resource-policy") for crd in crds]

    assert policies() == ["keep", "keep"]
    assert policies("--set=crds.keep=false") == [None, None]
    assert policies("--set=crds.enabled=false") == []


def test_the_operator_reads_the_settings_that_the_chart_writes(tmp_path: Path) -> None:
    manifests = rendered(
        "--set=images.trainer=registry.example/trainer:1",
        "--set=watchNamespaces={one}",
        "--set=imagePullSecrets[0].name=pull",
        "--set=statusServer.intervalSeconds=5",
    )
    config = next(c for c in of_kind(manifests, "ConfigMap") if "settings.yaml" in c["data"])
    (tmp_path / "settings.yaml").write_text(config["data"]["settings.yaml"])
    settings = load_settings(tmp_path / "settings.yaml", {"POD_NAMESPACE": SYSTEM, "POD_NAME": "pod"})
    assert settings.trainer.image == "registry.example/trainer:1"
    assert settings.trainer.image_pull_secrets == ("pull",)
    assert settings.watch_namespaces == ("one",)
    assert settings.status_server.status_interval_seconds == 5
    assert settings.webhook is not None
    assert settings.webhook.configuration == "finetune-operator"
    assert settings.status_url == f"https://finetune-operator.{SYSTEM}.svc:8443"


def test_names_that_yaml_would_take_for_something_else_stay_names(tmp_path: Path) -> None:
    options = ("--set=watchNamespaces={yes,0123}", "--set-string=imagePullSecrets[0].name=123")
    done = helm("template", "finetune", str(CHART), "-n", "42", *options)
    manifests = [manifest for manifest in yaml.safe_load_all(done.stdout) if manifest]
    served = {binding["metadata"]["namespace"] for binding in of_kind(manifests, "RoleBinding")}
    assert served == {"42", "yes", "0123"}
    [config] = of_kind(manifests, "ConfigMap")
    (tmp_path / "settings.yaml").write_text(config["data"]["settings.yaml"])
    settings = load_settings(tmp_path / "settings.yaml", {"POD_NAMESPACE": "42"})
    assert settings.watch_namespaces == ("yes", "0123")
    assert settings.trainer.image_pull_secrets == ("123",)


def test_changed_settings_restart_the_operator() -> None:
    def checksum(*options: str) -> str:
        [deployment] = of_kind(rendered(*options), "Deployment")
        annotations: dict[str, str] = deployment["spec"]["template"]["metadata"]["annotations"]
        return annotations["checksum/settings"]

    assert checksum() == checksum("--set-string=podAnnotations.note=x")
    assert checksum() != checksum("--set=workers=9")


@pytest.mark.parametrize(
    ("option", "complaint"),
    [
        ("--set=workers=0", "workers"),
        ("--set=imagePullPolicy=Sometimes", "imagePullPolicy"),
        ("--set=images.operator=", "operator"),
        ("--set=replicas=2", "replicas"),
        ("--set=log.level=LOUD", "level"),
        ("--set=webhook.failurePolicy=Warn", "failurePolicy"),
        ("--set=webhook.timeoutSeconds=60", "timeoutSeconds"),
        ("--set=webhook.caBundle=-----BEGIN", "caBundle"),
        ("--set=tls.certManager.issuerRef.kind=Issuer", "name"),
        ("--set=watchNamespaces={Team_A}", "watchNamespaces"),
        ("--set=nameOverride=1st", "nameOverride"),
        ("--set=resources.limit.memory=1Gi", "limit"),
        ("--set=tolerations[0].keys=gpu", "keys"),
        ("--set=podLabels.build=7", "build"),
        ("--set=tls.secretName=My Secret", "secretName"),
        ("--set=webhook=null", "webhook"),
        ("--set=statusServer.port=8080", "a port of its own"),
    ],
)
def test_wrong_values_are_refused(option: str, complaint: str) -> None:
    done = helm("template", "finetune", str(CHART), option)
    assert done.returncode != 0
    assert complaint in done.stderr
