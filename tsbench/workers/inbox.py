"""A queue that a thread can wait for together with pipes and sockets."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from multiprocessing import Pipe
from typing import Generic, TypeVar

__all__ = ["Inbox"]

T = TypeVar("T")


class Inbox(Generic[T]):
    """What other threads report; `multiprocessing.connection.wait` finds it ready if there is anything."""

    def __init__(self) -> None:
        self._items: deque[T] = deque()
        self._wakeup, self._waker = Pipe(duplex=False)

    def fileno(self) -> int:
        """The file descriptor that is ready to be read if there is anything."""
        return self._wakeup.fileno()

    def put(self, item: T) -> None:
        """Adds an item, from any thread; it is dropped if the inbox is closed."""
        self._items.append(item)
        with suppress(OSError):
            self._waker.send_bytes(b"!")

    def take(self) -> list[T]:
        """All items since the last call, the oldest first."""
        taken = []
        while self._wakeup.poll():
            self._wakeup.recv_bytes()
            taken.append(self._items.popleft())
        return taken

    def close(self) -> None:
        """Releases the file descriptors."""
        self._wakeup.close()
        self._waker.close()
