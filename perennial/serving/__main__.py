"""`python -m perennial.serving [NAME ...]`: the prediction service, in one process or several.

Without names all pipelines that have a YAML are served. Settings come from the environment: PERENNIAL_SERVE_*.
"""

from __future__ import annotations

import os
import sys

# Before numpy is imported: rows are many and small, and processes share the cores.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")


def main() -> int:
    """Serve until stopped."""
    from perennial.serving.listen import listen, log_address
    from perennial.serving.settings import load_settings as load_serve
    from tasks.errors import PerennialError
    from tasks.stores.settings import load_settings, prepare

    try:
        settings, serve = load_settings(), load_serve()
        prepare(settings)
        listening = listen(serve)
        if serve.workers > 1:
            from perennial.serving.supervise import supervise

            return supervise(settings, serve, tuple(sys.argv[1:]), listening)
        log_address(serve, listening)
        from perennial.serving.worker import run_worker

        run_worker(settings, serve, tuple(sys.argv[1:]), listening)
    except PerennialError as error:
        sys.stderr.write(f"perennial: {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
