"""Print the completion script of a shell.

bash: source <(finetune completion bash)
zsh:  source <(finetune completion zsh)
fish: finetune completion fish | source

kubectl completes `kubectl finetune` by itself: it asks the program kubectl_complete-finetune, which is
installed with this one.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `finetune completion`."""
    parser.add_argument("shell", choices=("bash", "zsh", "fish"))


def run(arguments: argparse.Namespace) -> int:
    """Print the script."""
    words = list(_verbs())
    print({"bash": _bash, "zsh": _zsh, "fish": _fish}[arguments.shell](words), end="")
    return 0


def main_for_kubectl(argv: Sequence[str] | None = None) -> int:
    """What kubectl is told about `kubectl finetune WORD…`, of which the last word is to be completed.

    One word a line, then `:0`: where none fits, the shell offers files (the directives of Cobra).
    """
    *before, begun = [*(sys.argv[1:] if argv is None else argv)] or [""]
    verbs = {verb.name: verb for verb in _verbs()}
    words = [word for word in before if not word.startswith("-")]
    offered = (verbs[words[0]].words if words[0] in verbs else []) if words else [*verbs, "--help"]
    print("\n".join([*(word for word in offered if word.startswith(begun)), ":0"]))
    return 0


@dataclass(frozen=True)
class _Verb:
    name: str
    summary: str
    options: tuple[tuple[str, str], ...]
    """Long option and its help."""
    choices: tuple[str, ...]
    """Words that may stand in the first place after the verb."""

    @property
    def words(self) -> list[str]:
        """Everything that may follow the verb, file names apart."""
        return [*(option for option, _ in self.options), *self.choices]


def _verbs() -> Iterator[_Verb]:
    from finetune_cli.main import VERBS, parser_for, parsers_in

    for name, verb_parser in parsers_in(parser_for(*VERBS)).items():
        options = [
            (option, (action.help or "").replace("'", ""))
            for action in verb_parser._actions
            for option in action.option_strings
            if option.startswith("--")
        ]
        positional = next((action for action in verb_parser._actions if not action.option_strings), None)
        choices = tuple(map(str, positional.choices)) if positional and positional.choices else ()
        yield _Verb(name, VERBS[name], tuple(options), choices)


def _bash(verbs: list[_Verb]) -> str:
    cases = "".join(f"    {verb.name}) words='{' '.join(verb.words)}' ;;\n" for verb in verbs)
    return f"""_finetune() {{
  local current="${{COMP_WORDS[COMP_CWORD]}}" words=''
  if [ "$COMP_CWORD" -eq 1 ]; then
    mapfile -t COMPREPLY < <(compgen -W '{" ".join(verb.name for verb in verbs)} --help' -- "$current")
    return
  fi
  case "${{COMP_WORDS[1]}}" in
{cases}  esac
  mapfile -t COMPREPLY < <(
    compgen -W "$words" -- "$current"
    [[ "$current" == -* ]] || compgen -f -- "$current"
  )
}}
complete -o filenames -F _finetune finetune kubectl-finetune
"""


def _zsh(verbs: list[_Verb]) -> str:
    described = " ".join(f"'{verb.name}:{verb.summary}'" for verb in verbs)
    cases = "".join(f"    {verb.name}) words=({' '.join(verb.words)}) ;;\n" for verb in verbs)
    return f"""#compdef finetune kubectl-finetune
_finetune() {{
  local -a verbs words_of_verb
  verbs=({described})
  if (( CURRENT == 2 )); then _describe command verbs; return; fi
  case "${{words[2]}}" in
{cases.replace("words=(", "words_of_verb=(")}  esac
  compadd -- $words_of_verb
  _files
}}
compdef _finetune finetune kubectl-finetune
"""


def _fish(verbs: list[_Verb]) -> str:
    lines = []
    for verb in verbs:
        lines.append(f"complete -c finetune -n __fish_use_subcommand -a {verb.name} -d '{verb.summary}'")
        seen = f"-n '__fish_seen_subcommand_from {verb.name}'"
        lines += [
            f"complete -c finetune {seen} -l {option[2:]} -d '{help_text}'"
            for option, help_text in verb.options
        ]
        lines += [f"complete -c finetune {seen} -a {choice}" for choice in verb.choices]
    return "\n".join([*lines, "complete -c kubectl-finetune -w finetune"]) + "\n"
