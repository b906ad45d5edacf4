"""Write YAML that its reader takes as it was meant: text that a parser would take for a value is quoted.

Characters that are not to be seen are written as escapes, as in JSON: a stranger's text does not act on a
terminal, and nothing of it is lost.
"""

from typing import Any

import yaml

from finetune_api.printable import unseen
from finetune_cli.yaml_scalars import plain_tag


class _Dumper(yaml.SafeDumper):
    """SafeDumper that puts text with characters that are not to be seen into double quotes."""

    def represent_text(self, text: str) -> yaml.Node:
        return self.represent_scalar("tag:yaml.org,2002:str", text, style='"' if unseen(text) else None)


_Dumper.add_representer(str, _Dumper.represent_text)


class _KubectlDumper(_Dumper):
    """Knows kubectl's scalar rules, by which `y` is true and `2e-4` a number."""

    def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
        if kind is yaml.ScalarNode and implicit[0]:
            return plain_tag(value)
        tag: str = super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]
        return tag


def dump(value: object) -> str:
    """Return `value`, of plain types, as a YAML document for kubectl, with its keys in their order."""
    return _escaped(yaml.dump(value, Dumper=_KubectlDumper, sort_keys=False, allow_unicode=True, width=100))


def dump_for_python(value: object) -> str:
    """The same for programs that read it with PyYAML."""
    return _escaped(yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True))


def _escaped(text: str) -> str:
    """The document with an escape for each such character: it stands in double quotes."""
    return text.translate({ord(char): f"\\U{ord(char):08X}" for char in unseen(text)})
