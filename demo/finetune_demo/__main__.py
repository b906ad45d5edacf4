"""Pre-train a small model, tune it, and show what it learned.

    python -m finetune_demo

The cluster must be up and must have the images (`make demo` sees to that). It needs nothing else, and can be
run again at any time: what an earlier run left in its namespace is removed first, and so is the namespace at
the end.

exit status: 0 the skill was learned, 1 it was not or something failed
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Final

import yaml

from finetune_api import FineTuneJobStatus
from finetune_demo.evaluation import MAX_BEFORE, MIN_AFTER, evaluate, evaluation_pod
from finetune_demo.follow import JobFailedError, follow
from finetune_demo.kubectl import Cluster, ClusterError
from onenode import paths

CHECKOUT: Final = Path(__file__).parents[2]
EXAMPLES: Final = CHECKOUT / "examples"
CHART: Final = CHECKOUT / "charts" / "finetune-operator"
IMAGE_TAGS: Final = paths.CACHE / "images" / "tags.json"

NAMESPACE: Final = "finetune-demo"
SYSTEM_NAMESPACE: Final = "finetune-system"
RELEASE: Final = "finetune"
CLAIM: Final = "models"
DATA: Final = "dates"

JOB_LIMIT_SECONDS: Final = 900.0
EVALUATION_LIMIT_SECONDS: Final = 300.0


def main() -> int:
    """Run the whole demo. Returns the exit status."""
    started = time.monotonic()
    cluster = Cluster(paths.KUBECONFIG, paths.BIN)
    learned = installed = False
    try:
        installed = install(cluster)
        learned = run(cluster)
    except RuntimeError as error:
        say(f"The demo failed: {error}")
    finally:
        cleanup(cluster, uninstall=installed)
    say(f"Done in {time.monotonic() - started:.0f} s.")
    return 0 if learned else 1


def run(cluster: Cluster) -> bool:
    """Train, tune and compare. Returns whether the skill was learned."""
    prepare_namespace(cluster)

    title("Job 1 of 2: pre-train a small Llama from scratch on the standard library's source")
    base = train(cluster, "pretrain-from-scratch.yaml", "base")
    title("Job 2 of 2: tune it with LoRA to write any date in ISO 8601")
    tuned = train(cluster, "lora-dates.yaml", "dates")
    say(yaml.safe_dump({"status": tuned.to_json_object()}, sort_keys=False, allow_unicode=True))

    title("Ten dates that neither model has seen")
    pod = evaluation_pod(image_tags()["trainer"], CLAIM, DATA, output_path(base), output_path(tuned))
    evaluation = evaluate(cluster, NAMESPACE, pod, EVALUATION_LIMIT_SECONDS)
    say(evaluation.table())
    count = len(evaluation.answers)
    before, after = evaluation.before, evaluation.after
    say(f"\nExact match over {count} held-out dates: {before:.2f} before, {after:.2f} after.")
    if not evaluation.learned:
        say(f"Expected at most {MAX_BEFORE} before and at least {MIN_AFTER} after.")
    return evaluation.learned


def image_tags() -> dict[str, str]:
    """Return the images of this checkout by name, as `make images` has built them."""
    tags: dict[str, str] = json.loads(IMAGE_TAGS.read_text(encoding="utf-8"))
    return tags


def install(cluster: Cluster) -> bool:
    """Install the chart, or upgrade it to this checkout's, and wait until the operator is ready.

    Returns whether it was not there before.
    """
    title("The operator")
    found = cluster.helm("list", f"--namespace={SYSTEM_NAMESPACE}", f"--filter=^{RELEASE}$", "--short")
    settings = [f"--set-string=images.{name}={tag}" for name, tag in image_tags().items()]
    target = [f"--namespace={SYSTEM_NAMESPACE}", "--create-namespace", "--wait", "--timeout=3m"]
    cluster.helm("upgrade", "--install", RELEASE, str(CHART), *target, *settings)
    say("helm upgrade --install: ready")
    return not found.strip()


def prepare_namespace(cluster: Cluster) -> None:
    """Make a fresh namespace that admits nothing but restricted pods, with the data set in it."""
    cluster.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait", "--timeout=3m")
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}
    cluster.kubectl("create", "--filename=-", manifest=namespace)
    files = [
        f"--from-file={EXAMPLES / 'data' / name}" for name in ("dates-train.jsonl", "dates-heldout.jsonl")
    ]
    cluster.kubectl("create", "configmap", DATA, f"--namespace={NAMESPACE}", *files)


def train(cluster: Cluster, manifest: str, name: str) -> FineTuneJobStatus:
    """Apply an example and follow it to its end."""
    say(f"kubectl apply -f examples/{manifest}")
    cluster.kubectl("apply", f"--namespace={NAMESPACE}", f"--filename={EXAMPLES / manifest}")
    return follow(cluster, NAMESPACE, name, JOB_LIMIT_SECONDS, say)


def output_path(status: FineTuneJobStatus) -> str:
    """Return where the job's result is, relative to its volume. Raises `JobFailedError` if it has none."""
    if status.output is None or not status.output.verified:
        raise JobFailedError("the job says Succeeded but names no output that was verified")
    return status.output.path


def cleanup(cluster: Cluster, *, uninstall: bool) -> None:
    """Remove what the demo has made: its namespace, and the operator if the demo has installed it."""
    if os.environ.get("KEEP") == "1":
        say(f"KEEP=1: namespace {NAMESPACE} and the operator stay.")
        return
    try:
        cluster.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait", "--timeout=2m")
        if uninstall:
            cluster.helm("uninstall", RELEASE, f"--namespace={SYSTEM_NAMESPACE}", "--wait")
    except ClusterError as error:
        say(f"Not everything could be removed: {error}")


def title(text: str) -> None:
    """Print a heading."""
    say(f"\n── {text} ──")


def say(line: str) -> None:
    """Print a line at once, also into a pipe."""
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
