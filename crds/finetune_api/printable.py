"""Text from a stranger's manifest, before a terminal or an HTTP header sees it."""


def printable(text: str) -> str:
    """The text with a blank for each character that is not to be seen: line ends, escapes that move a
    terminal's cursor or colour it, halves of characters."""
    return text if text.isprintable() else "".join(char if char.isprintable() else " " for char in text)


def printable_lines(text: str) -> str:
    """The same for a text whose line ends stay."""
    return "\n".join(printable(line) for line in text.split("\n"))
