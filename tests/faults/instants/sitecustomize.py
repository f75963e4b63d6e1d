"""Kills a command at a named instant: BENCH_INSTANT=replace:before:3 is the third rename.

Python imports this module at its start where this folder is in PYTHONPATH, in the command and in
its workers. The whole process group is killed, as `kill -9` does it.
"""

import os
import signal

_function, _when, _count = os.environ["BENCH_INSTANT"].split(":")
_real = getattr(os, _function)
_left = int(_count)


def _watched(*given, **rest):
    global _left
    _left -= 1
    if not _left and _when == "before":
        os.killpg(0, signal.SIGKILL)
    result = _real(*given, **rest)
    if not _left:
        os.killpg(0, signal.SIGKILL)
    return result


setattr(os, _function, _watched)
