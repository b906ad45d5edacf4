"""Text from a stranger's manifest, before a terminal or an HTTP header sees it."""


def printable(text: str) -> str:
    """The text with a blank for each character that is not to be seen: line ends, escapes that move a
    terminal's cursor or colour it, halves of characters."""
    return text if text.isprintable() else "".join(char if char.isprintable() else " " for char in text)


def printable_lines(text: str) -> str:
    """The same for a text whose line ends stay."""
    return "\n".join(printable(line) for line in text.split("\n"))


def unseen(text: str) -> set[str]:
    """The characters of a text that are not to be seen, without line ends and spaces of other widths."""
    if text.replace("\n", "").isprintable():
        return set()
    from unicodedata import category

    return {char for char in set(text) - {"\n"} if not char.isprintable() and category(char) != "Zs"}
