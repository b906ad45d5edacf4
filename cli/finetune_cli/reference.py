"""`python -m finetune_cli.reference` writes docs/cli.md: the help of every verb."""

import os
from pathlib import Path

from finetune_cli.main import VERBS, parser_for, parsers_in

PAGE = Path(__file__).parents[2] / "docs/cli.md"
_WIDTH = "100"

_HEAD = """\
<!-- Generated from the command line's own help by `make generate`; do not edit. -->

# The command line: `finetune`

Also installed as `kubectl-finetune`, so `kubectl finetune VERB` does the same. `pip install .` in the
repository installs it; commands that train or generate need `pip install '.[trainer]'`, commands that talk to
a cluster `pip install '.[operator]'`.

Output is UTF-8, whatever the locale. Manifests, statuses and logs may come from strangers, so invisible
characters (terminal escapes, marks that change the direction of writing) are printed as blanks in lines for
people, and as escapes in JSON and YAML, where nothing is lost. `finetune logs` passes bytes unchanged to a
pipe, and only text and colours to a terminal.
"""


def page() -> str:
    """Return the page."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = _WIDTH
    try:
        parser = parser_for(*VERBS)
        helps = [("finetune", parser.format_help())]
        helps += [(f"finetune {name}", verb.format_help()) for name, verb in parsers_in(parser).items()]
    finally:
        os.environ.pop("COLUMNS")
        if before is not None:
            os.environ["COLUMNS"] = before
    return _HEAD + "".join(f"\n## {title}\n\n```text\n{text.rstrip()}\n```\n" for title, text in helps)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
