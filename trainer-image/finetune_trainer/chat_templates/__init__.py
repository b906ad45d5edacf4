"""The chat templates that a job can name: one Jinja file each, which marks its answers.

They follow the forms that the families of models were trained with. A conversation that a form has no place
for (tools, a system prompt in the middle) is refused by the template rather than shown in part.
"""

from functools import cache
from pathlib import Path
from typing import Final, get_args

from finetune_api.model import ChatTemplateName

NAMES: Final[tuple[ChatTemplateName, ...]] = get_args(ChatTemplateName)


@cache
def chat_template(name: ChatTemplateName) -> str:
    """The Jinja source of a template by its name in `model.tokenizer.chatTemplateName`."""
    text = (Path(__file__).parent / f"{name}.jinja").read_text(encoding="utf-8")
    return text.rstrip("\n")
