"""The errors that reach a user as one line.

`InputError` ends a command with exit status 2 (the request is wrong), `RunError` with 1 (the
request is fine, the run failed). Anything else is a defect and shows its traceback.
"""


class SatgenError(Exception):
    """Base of every error that satgen raises on purpose."""


class InputError(SatgenError):
    """The request cannot be met as given: the message names the value and what would be right."""


class RunError(SatgenError):
    """The run failed for a reason outside the request: disk, driver, a worker that died."""
