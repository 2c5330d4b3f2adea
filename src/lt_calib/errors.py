"""The error whose message alone is shown to the user."""


class InputError(ValueError):
    """A setting, file or machine is not as needed; the message names the value, the constraint and the cure.

    The command prints the message without a traceback (which goes to the run's log) and ends with exit code 1.
    """
