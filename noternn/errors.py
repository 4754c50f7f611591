"""The error that a user can mend: commands print its message in one line and exit with status 1."""


class UserError(Exception):
    """Wrong input; the message says what was given, what is allowed and what to do."""
