"""The errors that a user can mend: commands print their message in one line and exit with status 1."""


class UserError(Exception):
    """Wrong input; the message says what was given, what is allowed and what to do."""


class PieceError(UserError):
    """A file that could not be read as a piece of music; the message says why in one line."""


def install(extra: str) -> str:
    """The command that brings an extra, for a message."""
    return f'pip install "noternn[{extra}]" (in a clone: pip install -e ".[{extra}]")'
