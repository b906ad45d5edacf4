"""The environment of a training pod: where to report to, where to write, and what the user adds."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from finetune_api import FineTuneJob
from finetune_api.data_secrets import secret_variables
from finetune_api.kubernetes import EnvVar, SecretKeyRef
from finetune_api.protocol import (
    HUB_TOKEN_VARIABLE,
    SERVER_CA_VARIABLE,
    SERVER_TOKEN_VARIABLE,
    SERVER_URL_VARIABLE,
    status_path,
)
from finetune_api.resolved import CA_FILE, TOKEN_FILE
from finetune_api.tracking import KEY_VARIABLES
from finetune_operator.plan import Manifest
from finetune_operator.rendering.config import RenderConfig
from finetune_operator.rendering.escape import literal
from finetune_operator.rendering.volumes import CACHE_MOUNT, SCRATCH_MOUNT


def environment(job: FineTuneJob, attempt: int, config: RenderConfig) -> list[Manifest]:
    """The variables of the trainer's container, each name once.

    The user may override where caches go and the like, but not where the pod reports to: that would silence
    the job.
    """
    defaults = {
        "HOME": SCRATCH_MOUNT,
        "HF_HOME": CACHE_MOUNT if job.spec.model.cache else f"{SCRATCH_MOUNT}/hf",
        "PYTHONUNBUFFERED": "1",
    }
    ours = {
        SERVER_URL_VARIABLE: status_url(job, attempt, config),
        SERVER_CA_VARIABLE: CA_FILE,
        SERVER_TOKEN_VARIABLE: TOKEN_FILE,
    }
    variables: dict[str, Manifest] = {
        name: {"name": name, "value": value} for name, value in defaults.items()
    }
    token = _hub_token(job)
    if token is not None:
        variables["HF_TOKEN"] = _from_secret("HF_TOKEN", token)
    for name, reference in secret_variables(job.spec).items():
        variables[name] = _from_secret(name, reference)
    if job.spec.output.hub is not None:
        variables[HUB_TOKEN_VARIABLE] = _from_secret(HUB_TOKEN_VARIABLE, job.spec.output.hub.token_secret)
    for tracker in job.spec.tracking.trackers:
        if tracker.api_key_secret is not None and tracker.type in KEY_VARIABLES:
            key = KEY_VARIABLES[tracker.type]
            variables[key] = _from_secret(key, tracker.api_key_secret)
    for variable in job.spec.resources.env:
        variables[variable.name] = _user_variable(variable)
    variables |= _past_proxies(variables, config)
    for name, value in ours.items():
        variables[name] = {"name": name, "value": value}
    return list(variables.values())


def status_url(job: FineTuneJob, attempt: int, config: RenderConfig) -> str:
    """Where the pods of one attempt POST their progress reports to."""
    path = status_path(job.metadata.namespace, job.metadata.name, attempt)
    return config.status_url.rstrip("/") + path


def _past_proxies(given: Mapping[str, Manifest], config: RenderConfig) -> dict[str, Manifest]:
    """A proxy that a job names for its downloads does not know the cluster's names: without this, a program
    built on transformers would send its reports there. Who names exceptions of their own is left alone."""
    names = {name.upper() for name in given}
    if names.isdisjoint({"HTTPS_PROXY", "ALL_PROXY"}) or "NO_PROXY" in names:
        return {}
    host = urlsplit(config.status_url).hostname or ""
    return {"NO_PROXY": {"name": "NO_PROXY", "value": host}}


def _user_variable(variable: EnvVar) -> Manifest:
    if variable.value_from is not None:
        return _from_secret(variable.name, variable.value_from.secret_key_ref)
    return {"name": variable.name, "value": literal(variable.value or "")}


def _hub_token(job: FineTuneJob) -> SecretKeyRef | None:
    """The hub reads one token from the environment: the model's, else the data set's."""
    if job.spec.model.token_secret is not None:
        return job.spec.model.token_secret
    questions = (benchmark.prompts for benchmark in job.spec.evaluation.benchmarks)
    sources = (job.spec.dataset.train, job.spec.dataset.eval, *questions)
    return next((s.hub.token_secret for s in sources if s and s.hub and s.hub.token_secret), None)


def _from_secret(name: str, reference: SecretKeyRef) -> Manifest:
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": reference.name, "key": reference.key}}}
