"""Compiled functions (kernels): numba is imported, and a kernel compiled, when one is first called.

A compiled kernel is kept under the user's cache directory, for every environment of this machine: beside its source
numba would compile it again in each. The directory is keyed by numba's version and by the source of all kernels, since
a kernel holds those it calls; numba's own index adds the processor and its features.
"""

from __future__ import annotations

import functools
import hashlib
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Any

from segue import progress
from segue.artefacts import cache_directory
from segue.errors import ExtraMissing

_PACKAGE = Path(__file__).parents[1]
_lock = threading.RLock()

FEW_ROWS = 4
"""Up to so many histories are left to :func:`interpreted`: a request waits for no compiler."""


def n_threads() -> int:
    """Threads that kernels may share out among themselves: ``OMP_NUM_THREADS``, or the cores of this process."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return int(asked) if asked.isdigit() and int(asked) else len(os.sched_getaffinity(0))


class Kernel:
    """A function that numba compiles on its first call; raises ``ExtraMissing`` then where numba is not installed.

    Kernels that the function calls are looked up among the globals of its module, as numba does.
    """

    def __init__(self, function: Callable[..., Any], options: dict[str, Any]) -> None:
        self.py_func: Any = function
        self._options = options
        self._compiled: Callable[..., Any] | None = None
        functools.update_wrapper(self, function)

    def __call__(self, *arguments: Any) -> Any:  # noqa: D102 - as the function
        return (self._compiled or self.dispatcher())(*arguments)

    def dispatcher(self) -> Callable[..., Any]:
        """Numba's object, with the kernels it may call in place of their stand-ins here."""
        with _lock:
            if self._compiled is None:
                numba = _numba()
                self._compiled = numba.njit(cache=True, nogil=True, **self._options)(self.py_func)
                names = self.py_func.__globals__
                for name, value in list(names.items()):
                    if isinstance(value, Kernel):
                        names[name] = value.dispatcher()
            return self._compiled


@functools.cache
def interpreted(kernel: Any) -> Callable[..., Any]:
    """A kernel as Python runs it, and so the kernels of its own module that it calls."""
    function = kernel.py_func
    names = dict(function.__globals__)
    for name, value in function.__globals__.items():
        if isinstance(called := getattr(value, "py_func", None), FunctionType):
            names[name] = FunctionType(called.__code__, names, name)
    return FunctionType(function.__code__, names, function.__name__)


def kernel(**options: Any) -> Callable[[Callable[..., Any]], Kernel]:
    """Decorate a kernel; ``options`` are further ones of ``numba.njit``, beside ``cache`` and ``nogil``."""
    return lambda function: Kernel(function, options)


@functools.cache
def _numba() -> Any:
    try:
        import numba
    except ModuleNotFoundError:
        raise ExtraMissing(what="Mining, and what builds on it,", package="numba", extra="mine") from None
    from numba.core import caching, event

    caching.CacheImpl._locator_classes.insert(0, _locator(caching, f"{numba.__version__}-{_source_hash()}"))
    event.register("numba:compile", _announcement(event))  # type: ignore[no-untyped-call]
    return numba


def _source_hash() -> str:
    """Of the version and the source of all modules with kernels."""
    source = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*.py")):
        text = path.read_bytes()
        if b"@kernel(" in text:
            source.update(path.relative_to(_PACKAGE).as_posix().encode() + b"\0" + text)
    return source.hexdigest()[:16]


def kernel_directory() -> Path:
    """Where compiled kernels are kept; ``NUMBA_CACHE_DIR`` moves them, as it does for all that numba compiles."""
    return cache_directory() / "kernels"


def _locator(caching: Any, version: str) -> Any:
    class SharedLocator(caching._CacheLocator):  # type: ignore[misc]
        """The kernels of Segue, wherever it is installed. Where the directory is not writable numba's own follow."""

        def __init__(self, function: Any) -> None:
            self._module, self._line = function.__module__, function.__code__.co_firstlineno

        def get_cache_path(self) -> str:
            return str(kernel_directory() / version / self._module)

        def get_source_stamp(self) -> str:
            return version

        def get_disambiguator(self) -> str:
            return str(self._line)

        @classmethod
        def from_function(cls, function: Any, file: str) -> Any:
            if not Path(file).is_relative_to(_PACKAGE) or os.environ.get("NUMBA_CACHE_DIR"):
                return None
            locator = cls(function)
            try:
                locator.ensure_cache_path()
            except OSError:
                return None
            return locator

    return SharedLocator


def _announcement(event: Any) -> Any:
    class Announcement(event.Listener):  # type: ignore[misc]
        """One line on standard error where a process compiles its first kernel of a package."""

        def __init__(self) -> None:
            self._packages: set[str] = set()

        def on_start(self, event: Any) -> None:
            package = event.data["dispatcher"].py_func.__module__.rpartition(".")[0]
            if not package.startswith("segue.") or package in self._packages:
                return
            self._packages.add(package)
            if progress.enabled():
                where = os.environ.get("NUMBA_CACHE_DIR") or kernel_directory()
                note = (
                    f"Compiling the kernels of {package}, once on this machine and version; they are kept in {where}."
                )
                print(note, file=sys.stderr, flush=True)

        def on_end(self, event: Any) -> None:
            pass

    return Announcement()
