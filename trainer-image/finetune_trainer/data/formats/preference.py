"""preference: `chosen` and `rejected`, and a `prompt` in front of both; text or lists of messages; optional
`tools`.

Without a `prompt`, the turns that both lists share at their start are the prompt; so they are where the
`prompt` is one of them, as in UltraFeedback, whose answers are whole conversations.
"""

from finetune_api.dataset import ColumnsSpec
from finetune_trainer.data.examples import BrokenRecordError, Message, Preference, Record
from finetune_trainer.data.formats.base import Format
from finetune_trainer.data.formats.prompt_completion import side
from finetune_trainer.data.formats.turns import read_tools, require_answer, with_system
from finetune_trainer.data.reading import RECORD_SUFFIXES, read_records


def parse(record: Record, columns: ColumnsSpec) -> Preference:
    """The prompt and both answers. Raises `BrokenRecordError`."""
    names = columns.chosen or "chosen", columns.rejected or "rejected"
    chosen, rejected = (side(record, name, columns, text_is="assistant") for name in names)
    shared = _shared(chosen, rejected)
    prompt = chosen[:shared]
    if record.fields.get(columns.prompt or "prompt") is not None:
        given = side(record, columns.prompt or "prompt", columns, text_is="user")
        if not any(prompt[start : start + len(given)] == given for start in range(shared)):
            prompt, shared = given, 0
    chosen, rejected = chosen[shared:], rejected[shared:]
    prompt = with_system(record, columns.system or "system", prompt)
    if chosen == rejected:
        raise BrokenRecordError(f"{names[0]!r} and {names[1]!r} are the same: nothing is preferred")
    if not any(message.role == "user" for message in prompt):
        raise BrokenRecordError(
            f"there is no prompt: add a 'prompt', or let {names[0]!r} and {names[1]!r} be lists of messages "
            "that start with the same turns"
        )
    for name, answer in zip(names, (chosen, rejected), strict=True):
        require_answer(answer, name)
    tools = read_tools(record, columns.tools or "tools")
    return Preference(record.origin, prompt, chosen, rejected, tools)


def _shared(chosen: tuple[Message, ...], rejected: tuple[Message, ...]) -> int:
    """How many turns both start with. The last turn of each is its answer, never the prompt."""
    most = min(len(chosen), len(rejected)) - 1
    return next((index for index in range(most) if chosen[index] != rejected[index]), max(most, 0))


FORMAT = Format(name="preference", read=read_records, parse=parse, suffixes=RECORD_SUFFIXES)
