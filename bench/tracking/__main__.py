"""The process beside a run: `python -m bench.tracking FOLDER`."""

import sys
from pathlib import Path

from bench.tracking.flush import work

if __name__ == "__main__":
    work(Path(sys.argv[1]))
