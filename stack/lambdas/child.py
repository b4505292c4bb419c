"""Owns the first moments of an instance's process: it is tied to the service, then becomes the runtime.

Run by path, with its module folder kept off `sys.path`, as `python -P child.py PID HANDLER`, PID being the service's.
Must never import anything of the project: the process belongs to the function.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ask the kernel to kill this process when the service dies, however that happens; then run the handler."""
    service, handler = int(sys.argv[1]), sys.argv[2]
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != service:
        # It died before the kernel was asked, and nobody would ever end this process.
        sys.exit(1)
    from awslambdaric.__main__ import main as run  # noqa: PLC0415 - tied first: this import takes most of the start

    run(["awslambdaric", handler])


if __name__ == "__main__":
    main()
