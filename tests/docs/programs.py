"""Programs on the path of a page's commands: ``segue`` is the real one; what installs or builds is checked, not run.

``segue serve`` starts in the background on a free port and returns when the service is ready; ``segue fetch`` of a
stand-in finds it in the cache.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
import warnings
from pathlib import Path

ROOT = Path(__file__).parents[2]
SERVICE = Path("service.pid")
_MAIN = "import sys; sys.argv[0] = 'segue'; from segue.cli.main import run; run()"


def segue() -> None:
    """The command line of this source tree."""
    words = sys.argv[1:]
    if words[:1] == ["fetch"] and (Path(os.environ["SEGUE_CACHE"]) / words[1] / "stand-in").exists():
        return
    if words[:1] == ["serve"]:
        sys.exit(_serve(words))
    from segue.cli.main import run

    run()


def run_in_this_process(commands: list[list[str]]) -> tuple[int, str]:
    """Run ``segue`` commands until one fails; the exit code and what they print. A process of its own takes seconds."""
    from segue.cli.main import run

    out = io.StringIO()
    arguments, shown = sys.argv, warnings.showwarning
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out), warnings.catch_warnings():
        for words in commands:
            if words[1] == "fetch" and (Path(os.environ["SEGUE_CACHE"]) / words[2] / "stand-in").exists():
                continue
            sys.argv = words
            try:
                run()
            except SystemExit as stop:
                if stop.code:
                    return int(stop.code), out.getvalue()
            finally:
                sys.argv, warnings.showwarning = arguments, shown
    return 0, out.getvalue()


def _serve(words: list[str]) -> int:
    if SERVICE.exists():
        stop(Path())
    port = os.environ["DOCS_PORT"]
    if "--port" in words:
        words[words.index("--port") + 1] = port
    else:
        words += ["--port", port]
    with Path("service.log").open("wb") as log:
        service = subprocess.Popen(
            [sys.executable, "-c", _MAIN, *words], stdout=log, stderr=log, start_new_session=True
        )
    SERVICE.write_text(str(service.pid))
    until = time.monotonic() + 60
    while time.monotonic() < until and service.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2):
                return 0
        except (OSError, urllib.error.HTTPError):
            time.sleep(0.1)
    lines = Path("service.log").read_text(errors="replace").splitlines()
    print(*(line for line in lines if not line.startswith('{"time"')), sep="\n")
    SERVICE.unlink()
    return service.poll() or 1


def stop(folder: Path) -> None:
    """End the service that a page started, if any."""
    file = folder / SERVICE
    if not file.exists():
        return
    number = int(file.read_text())
    file.unlink()
    try:
        os.killpg(number, signal.SIGTERM)
        for _ in range(100):
            os.killpg(number, 0)
            time.sleep(0.1)
        os.killpg(number, signal.SIGKILL)
    except ProcessLookupError:
        return


def pip() -> None:
    """``pip install 'segue[extra]'`` or ``'.[extra]'``: the extra exists."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    asked = re.findall(r"\[([\w,]+)\]", " ".join(sys.argv[1:]))
    unknown = {name for group in asked for name in group.split(",")} - set(extras)
    if unknown or not asked:
        sys.exit(f"no such extras: {sorted(unknown)} in {sys.argv[1:]}")


def make() -> None:
    """``make TARGET``: the target exists."""
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)
    unknown = [word for word in sys.argv[1:] if "=" not in word and word not in targets]
    if unknown:
        sys.exit(f"no such targets: {unknown}")


def tensorboard() -> None:
    """``tensorboard --logdir DIR``: the directory has runs."""
    if not list(Path(sys.argv[sys.argv.index("--logdir") + 1]).rglob("events.out.*")):
        sys.exit("no runs there")
