"""How a command is stopped: Ctrl-C and SIGTERM end it the same way, at once and once.

Its processes leave signals to it, and end when it does.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import parent_process
from threading import Thread
from types import FrameType
from typing import NoReturn

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(KeyboardInterrupt):
    """A signal asked the command to end. Its notes say how far it was."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


@contextmanager
def stoppable() -> Iterator[None]:
    """Raise `Stopped` in the main thread when a signal asks for the end.

    A second signal is not heard, so that what the first one ends is ended in order. What is
    ignored already, as Ctrl-C is in the background of a shell, stays ignored.
    """

    def stop(number: int, _: FrameType | None) -> NoReturn:
        for each in earlier:
            signal.signal(each, signal.SIG_IGN)
        raise Stopped(number)

    earlier = {
        each: handler
        for each in _SIGNALS
        if (handler := signal.getsignal(each)) is not signal.SIG_IGN
    }
    for each in earlier:
        signal.signal(each, stop)
    try:
        yield
    finally:
        for each, handler in earlier.items():
            signal.signal(each, handler)


def follow_parent() -> None:
    """In a process of a command: leave Ctrl-C to the command, and end when it is gone.

    Ctrl-C reaches every process of a terminal, and one that was killed can tell nobody.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    if (parent := parent_process()) is not None:
        parent.join()
        # Also in the middle of something that heeds no exception.
        os._exit(1)
