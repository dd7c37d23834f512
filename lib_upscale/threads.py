"""Work on other threads that goes on with fewer of them where the system starts no more."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from itertools import chain, count, islice
from types import TracebackType
from typing import TypeVar

__all__ = ["Worker", "is_thread_refused", "map_in_order"]

Item = TypeVar("Item")
Result = TypeVar("Result")

_MOST_WORKERS = 4


def is_thread_refused(error: BaseException) -> bool:
    """Whether an error says that no thread can be started: its stack is memory too, and systems limit their number."""
    return isinstance(error, RuntimeError) and "can't start new thread" in str(error)


class Worker:
    """One thread that does what it is given, in turn; where it can't be started, the caller's thread does it.

    Leaving the block waits for what was given.
    """

    def __init__(self, name: str = "") -> None:
        self._name = name
        self._pool = ThreadPoolExecutor(1, name)

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown()

    def submit(self, function: Callable[..., Result], *arguments: object) -> Future[Result]:
        """Call `function`, later or, where there is no thread, now."""
        try:
            return self._pool.submit(function, *arguments)
        except RuntimeError as error:
            if not is_thread_refused(error):
                raise
        # The pool keeps what it was given for a thread that does not exist: the next one starts with nothing.
        self._pool = ThreadPoolExecutor(1, self._name)
        done: Future[Result] = Future()
        try:
            done.set_result(function(*arguments))
        except Exception as error:
            done.set_exception(error)
        return done


def map_in_order(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Apply `function` to items on up to four threads. Only a few items are taken before their results are.

    Where memory runs out on one of several threads, the item is tried again while all others rest.
    """
    remaining = iter(items)
    first = list(islice(remaining, 2))
    if len(first) < 2:  # starting a thread takes longer than most single items
        yield from map(function, first)
        return
    with ExitStack() as stack:
        workers = [stack.enter_context(Worker()) for _ in range(min(_MOST_WORKERS, os.cpu_count() or 1))]
        pending: deque[tuple[Item, Future[Result]]] = deque()
        for number, item in zip(count(), chain(first, remaining)):
            pending.append((item, workers[number % len(workers)].submit(function, item)))
            if len(pending) > len(workers):
                yield _result(function, pending)
        while pending:
            yield _result(function, pending)


def _result(function: Callable[[Item], Result], pending: deque[tuple[Item, Future[Result]]]) -> Result:
    """The result of the oldest item."""
    item, future = pending.popleft()
    wait([future])
    if not isinstance(future.exception(), MemoryError):
        return future.result()
    del future  # its traceback keeps what it had allocated
    wait([other for _, other in pending])
    return function(item)
