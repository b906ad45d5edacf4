"""What an administrator's policies do to the Jobs of a namespace."""

from collections.abc import Iterator
from contextlib import contextmanager

import yaml

from operator_rig import Namespace, wait_until

NO_JOBS = """
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: NAME}
spec:
  matchConstraints:
    resourceRules: [{apiGroups: [batch], apiVersions: [v1], resources: [jobs], operations: [CREATE]}]
  validations: [{expression: "false", message: no training by day}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: NAME}
spec:
  policyName: NAME
  validationActions: [Deny]
  matchResources: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: NAME}}}
"""
"""Every Job is denied, «by day»."""

SPOILED_JOBS = """
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {name: NAME}
spec:
  matchConstraints:
    resourceRules: [{apiGroups: [batch], apiVersions: [v1], resources: [jobs], operations: [CREATE]}]
  failurePolicy: Fail
  reinvocationPolicy: Never
  mutations:
  - patchType: JSONPatch
    jsonPatch:
      expression: '[JSONPatch{op: "add", path: "/spec/template/spec/runtimeClassName", value: "No Class"}]'
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata: {name: NAME}
spec:
  policyName: NAME
  matchResources: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: NAME}}}
"""
"""Every Job gets a runtimeClassName that Kubernetes refuses, for good."""


@contextmanager
def policy_in_force(namespace: Namespace, policy: str, denial: str) -> Iterator[None]:
    """The policy, for the Jobs of this namespace; `denial` is among the words that refuse one."""
    manifests = policy.replace("NAME", namespace.name)
    namespace.control_plane.kubectl("apply", "-f", "-", input=manifests)
    try:
        probe = ("create", "job", "probe", "--image=none", "--dry-run=server")
        wait_until("the policy counts", lambda: denial in namespace.kubectl(*probe, check=False))
        yield
    finally:
        for kind in (manifest["kind"] for manifest in yaml.safe_load_all(manifests)):
            namespace.control_plane.kubectl("delete", kind, namespace.name)
