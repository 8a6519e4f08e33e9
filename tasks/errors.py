"""Errors that a person can act on. Each says what was found, what was expected and what to do; none is a bug."""

from __future__ import annotations


class PerennialError(Exception):
    """Something failed for a known reason. The command line prints the message alone and ends with `exit_code`."""

    exit_code = 1


class UsageError(PerennialError):
    """A wrong command, setting or configuration."""

    exit_code = 2


class DataRejectedError(PerennialError):
    """Data that can't be used: a file as a whole, or a training set no model can be fitted on."""

    exit_code = 3
