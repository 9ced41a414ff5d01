"""An environment with what one install line brings, and nothing else: no package of the developers' is found there.

The packages are those of the environment that runs the tests, linked one by one; nothing is downloaded.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]


def brought_by(extras: set[str]) -> dict[str, metadata.Distribution]:
    """The distributions that ``pip install 'segue[extras]'`` brings, by their names."""
    found: dict[str, metadata.Distribution] = {}
    waiting = [("segue", frozenset(extras))]
    done: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        name, wanted = waiting.pop()
        if (name, wanted) in done:
            continue
        done.add((name, wanted))
        if name == "segue":
            needed = _ours(wanted)
        else:
            try:
                found[name] = metadata.distribution(name)
            except metadata.PackageNotFoundError:  # for other systems or versions of Python
                continue
            needed = found[name].requires or []
        for text in needed:
            requirement = Requirement(text)
            markers = [{"extra": extra} for extra in wanted] or [{"extra": ""}]
            if requirement.marker is None or any(requirement.marker.evaluate(each) for each in markers):
                waiting.append((requirement.name.lower().replace("_", "-"), frozenset(requirement.extras)))
    return found


def _ours(extras: frozenset[str]) -> list[str]:
    """What this source tree asks for; the metadata of the installed package may be older."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [*project["dependencies"], *(each for extra in extras for each in project["optional-dependencies"][extra])]


def environment(folder: Path, extras: set[str]) -> Path:
    """Make the environment; the path of its Python."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (site,) = folder.glob("lib/python3*/site-packages")
    (site / "segue.pth").write_text(f"{ROOT / 'src'}\n")
    for distribution in brought_by(extras).values():
        for top in {file.parts[0] for file in distribution.files or [] if file.parts[0] not in ("..", "__pycache__")}:
            if not (site / top).exists():
                (site / top).symlink_to(str(distribution.locate_file(top)))
    return folder / "bin" / "python"
