"""List the built-in presets, or show one as a FineTunePreset.

A job names one in `spec.preset`; its own values take precedence. `finetune submit`, `finetune run` and
`finetune validate` fill the preset in before the job is sent or checked; for a job that was applied in
another way, the operator does. Your own FineTunePreset takes precedence over a built-in one of the same name.

exit status: 0 printed, 2 there is no such preset
"""

import argparse

from finetune_cli import json_writer
from finetune_cli.errors import CommandError
from finetune_cli.tables import aligned, paragraph


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `finetune presets`."""
    parser.add_argument(
        "words",
        nargs="*",
        metavar="WORD",
        help="`list` or nothing: all; `show NAME` or NAME: one",
    )
    parser.add_argument("-o", "--output", choices=("table", "yaml", "json"), help="form of the output")


def run(arguments: argparse.Namespace) -> int:
    """Print presets. Raises `CommandError`."""
    match arguments.words:
        case [] | ["list"]:
            return _list(arguments.output)
        case ["show"]:
            raise CommandError("name the preset: finetune presets show NAME")
        case ["show", name] | [name]:
            return _show(name, arguments.output)
    raise CommandError("one preset at a time: finetune presets show NAME")


def _list(output: str | None) -> int:
    from finetune_api.presets import builtin_presets

    presets = builtin_presets()
    listed = [{"name": preset.name, "title": preset.title} for preset in presets]
    if output == "json":
        print(json_writer.dump(listed))
        return 0
    if output == "yaml":
        from finetune_cli.yaml_writer import dump

        print(dump(listed), end="")
        return 0
    print("\n".join(aligned([list(entry.values()) for entry in listed])))
    return 0


def _show(name: str, output: str | None) -> int:
    import difflib

    from finetune_api.presets import builtin_preset
    from finetune_api.presets.builtin import builtin_names
    from finetune_cli.yaml_writer import dump

    preset = builtin_preset(name)
    if preset is None:
        near = difflib.get_close_matches(name, builtin_names(), n=1)
        hint = f"did you mean {near[0]}?" if near else "`finetune presets` lists them"
        raise CommandError(f"there is no preset {name}; {hint}")
    manifest = {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTunePreset",
        "metadata": {"name": preset.name},
        "spec": {"title": preset.title, "description": preset.description, "values": preset.values},
    }
    if output == "json":
        print(json_writer.dump(manifest))
    elif output == "table":
        print(f"{preset.name}: {preset.title}\n{paragraph(preset.description)}")
        print(dump(preset.values), end="")
    else:
        print(dump(manifest), end="")
    return 0
