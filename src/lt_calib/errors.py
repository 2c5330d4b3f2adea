"""The error whose message alone is shown to the user, and what several rooms refuse alike."""

from numbers import Integral


class InputError(ValueError):
    """A setting, file or machine is not as needed; the message names the value, the constraint and the cure.

    The command prints the message without a traceback (which goes to the run's log) and ends with exit code 1.
    """


def check_seed(seed: int, key: str = "seed") -> int:
    """Return a seed that every generator takes: NumPy's old one and scikit-learn's end at 2^32 - 1.

    Raises:
        InputError: it is no whole number, or out of range.
    """
    if isinstance(seed, bool) or not isinstance(seed, Integral) or not 0 <= seed < 2**32:
        raise InputError(f"{key}={seed} must be >= 0 and <= {2**32 - 1}, a whole number")
    return int(seed)
