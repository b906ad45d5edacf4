"""The chat template of a tokenizer, with the tools of one conversation."""

from collections.abc import Sequence
from typing import Final

from jinja2 import TemplateError

from finetune_trainer.data.examples import Json
from finetune_trainer.model.tokenizers import Tokenizer

Span = tuple[int, int]
"""Where a part of a text begins and ends."""

REFUSALS: Final = (TemplateError, TypeError, ValueError)
"""What a chat template raises for a conversation that it was not written for."""


class Template:
    """The tokenizer's chat template with the tools of one conversation."""

    def __init__(self, tokenizer: Tokenizer, tools: Sequence[Json]) -> None:
        self.tokenizer = tokenizer
        self.tools = list(tools) or None

    def render(self, messages: Sequence[Json], *, prompt: bool = False) -> str:
        text = self.tokenizer.apply_chat_template(
            list(messages), tools=self.tools, tokenize=False, add_generation_prompt=prompt
        )
        return str(text)

    @property
    def source(self) -> str:
        """The template itself: of several, the one for conversations with or without tools."""
        return str(self.tokenizer.get_chat_template(None, self.tools))

    def marked(self, messages: Sequence[Json]) -> tuple[str, list[Span]]:
        from transformers.utils.chat_template_utils import render_jinja_template

        rendered, spans = render_jinja_template(
            conversations=[list(messages)],
            tools=self.tools,
            chat_template=self.source,
            return_assistant_tokens_mask=True,
            **self.tokenizer.special_tokens_map,
        )
        return str(rendered[0]), [(start, end) for start, end in spans[0]]

    def try_marked(self, messages: Sequence[Json]) -> tuple[str, list[Span]] | None:
        """None where the template cannot render a part of a conversation by itself."""
        try:
            return self.marked(messages)
        except REFUSALS:
            return None

    def try_render(self, messages: Sequence[Json], *, prompt: bool = False) -> str | None:
        """None where the template cannot render a part of a conversation by itself."""
        try:
            return self.render(messages, prompt=prompt)
        except REFUSALS:
            return None
