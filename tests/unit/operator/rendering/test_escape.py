"""What a user writes reaches the process as it is, whatever kubelet expands."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from finetune_operator.rendering.escape import literal


def expand(text: str) -> str:
    """What kubelet does (third_party/forked/golang/expansion/expand.go), with every variable known."""
    out, cursor = [], 0
    while cursor < len(text):
        if text[cursor] != "$" or cursor + 1 == len(text):
            out.append(text[cursor])
            cursor += 1
            continue
        following = text[cursor + 1]
        end = text.find(")", cursor + 2) if following == "(" else -1
        if following == "$":
            out.append("$")
            cursor += 2
        elif end >= 0:
            out.append("EXPANDED")
            cursor = end + 1
        else:
            out.append("$" + following)
            cursor += 2
    return "".join(out)


def test_the_model_of_kubelet_expands() -> None:
    assert expand("a $(NAME) $$(NAME) $$ $") == "a EXPANDED $(NAME) $ $"


@given(st.text(alphabet="$()aX ", max_size=12))
@example("$")
@example("$$")
@example("$(HF_TOKEN)")
@example("$x$(HF_TOKEN)")
def test_a_literal_survives_the_expansion(text: str) -> None:
    assert expand(literal(text)) == text
