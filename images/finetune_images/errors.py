"""What can go wrong, in words for the person who typed the command."""


class ImageError(Exception):
    """An image could not be built or loaded; the message says why and what to do."""
