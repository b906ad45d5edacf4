"""`python -m finetune_api.generate` writes everything that is made from the models; `--check` only compares.

That is: the CRDs, the chart's copies of them, and the reference pages.
"""

import argparse
import difflib
import sys
from collections.abc import Sequence
from pathlib import Path

from finetune_api import reference
from finetune_api.crd import fine_tune_job_crd, fine_tune_preset_crd, to_yaml
from finetune_api.parameter_map.page import parameter_map_page

NOTICE = "# Generated from the models in finetune_api by `make generate`; do not edit.\n"

_KEEP = """  {{- if .Values.crds.keep }}
  annotations:
    helm.sh/resource-policy: keep
  {{- end }}
"""


def generated_files() -> dict[str, str]:
    """Contents of every generated file, by its path in the repository."""
    files = {}
    for crd in (fine_tune_job_crd(), fine_tune_preset_crd()):
        text = to_yaml(crd)
        plural = crd["spec"]["names"]["plural"]
        files[f"crds/finetune.dev_{plural}.yaml"] = NOTICE + text
        files[f"charts/finetune-operator/templates/crds/{plural}.yaml"] = chart_template(text)
    files["docs/reference/finetunejob.md"] = reference.fine_tune_job_page()
    files["docs/reference/status.md"] = reference.status_page()
    files["docs/reference/conditions.md"] = reference.conditions_page()
    files["docs/reference/findings.md"] = reference.findings_page()
    files["docs/reference/parameter-map.md"] = reference.NOTICE + parameter_map_page()
    return files


def chart_template(crd: str) -> str:
    """A CRD as a Helm template: installed if `crds.enabled`, left there by an uninstall if `crds.keep`."""
    escaped = crd.replace("{{", "{{ `{{` }}")
    head, name, rest = escaped.partition("metadata:\n")
    return f"{NOTICE}{{{{- if .Values.crds.enabled }}}}\n{head}{name}{_KEEP}{rest}{{{{- end }}}}\n"


def differences(root: Path) -> str:
    """Unified diff from what is in the repository to what the models say; empty when they agree."""
    lines: list[str] = []
    for name, wanted in generated_files().items():
        path = root / name
        found = path.read_text(encoding="utf-8") if path.exists() else ""
        lines += difflib.unified_diff(
            found.splitlines(keepends=True),
            wanted.splitlines(keepends=True),
            f"{name} (there)",
            f"{name} (models)",
        )
    return "".join(lines)


def write(root: Path) -> list[str]:
    """Writes the files that differ, and returns their names."""
    written = []
    for name, text in generated_files().items():
        path = root / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            written.append(name)
    return written


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0; with `--check`, 1 if a file differs from what the models say."""
    parser = argparse.ArgumentParser(prog="finetune_api.generate", description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; show differences and exit with 1"
    )
    parser.add_argument(
        "--root",
        type=Path,
        default=Path(__file__).resolve().parents[2],
        help="the repository (default: %(default)s)",
    )
    options = parser.parse_args(arguments)
    if options.check:
        difference = differences(options.root)
        if difference:
            sys.stderr.write(difference + "\nGenerated files are out of date: run `make generate`.\n")
        return 1 if difference else 0
    for name in write(options.root):
        sys.stdout.write(f"{name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
