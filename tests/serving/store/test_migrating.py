"""The steps from version to version."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from alembic.script import ScriptDirectory

from segue.serving.store import migrating


def test_the_versions_are_those_of_the_steps_in_one_line() -> None:
    scripts = ScriptDirectory(str(migrating.SCRIPTS))
    assert scripts.get_heads() == [migrating.VERSIONS[-1]]
    assert tuple(script.revision for script in scripts.walk_revisions())[::-1] == migrating.VERSIONS


def test_every_step_is_a_module_of_a_package_so_that_it_is_installed() -> None:
    folders = {file.parent for file in migrating.SCRIPTS.rglob("*.py")}
    assert all((folder / "__init__.py").exists() for folder in folders)


def test_a_store_that_is_new_or_up_to_date_opens_without_what_migrates(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    opener = (
        "import sys; from segue.serving.store import Store; Store.open(sys.argv[1]); print('alembic' in sys.modules)"
    )
    for _ in ("a new one", "one that is there"):
        answer = subprocess.run([sys.executable, "-c", opener, url], check=True, capture_output=True, timeout=60)
        assert answer.stdout == b"False\n"


def test_the_store_loads_no_torch() -> None:
    heavy = "{'torch', 'transformers', 'peft', 'lightning'}"
    program = f"import sys, segue.serving.store, segue.serving.state; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], check=True, capture_output=True).stdout == b"[]\n"
