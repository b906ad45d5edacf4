"""Write YAML that kubectl reads as it was meant: text that its parser would take for a value is quoted."""

from typing import Any

import yaml

from finetune_cli.yaml_scalars import plain_tag


class _KubectlDumper(yaml.SafeDumper):
    """SafeDumper that knows kubectl's scalar rules, by which `y` is true and `2e-4` a number."""

    def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
        if kind is yaml.ScalarNode and implicit[0]:
            return plain_tag(value)
        tag: str = super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]
        return tag


def dump(value: object) -> str:
    """Return `value`, of plain types, as a YAML document with its keys in their order."""
    text: str = yaml.dump(value, Dumper=_KubectlDumper, sort_keys=False, allow_unicode=True, width=100)
    return text
