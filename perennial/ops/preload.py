"""Importing this module warms the process: all that `multiprocessing` does in its fork server is to import it."""

from perennial.ops.flow_process import warm_up

try:
    warm_up()
except ImportError as error:  # which the fork server would pass over in silence, and every run would be slow
    raise RuntimeError(f"a module that flow runs need can't be imported: {error}") from error
