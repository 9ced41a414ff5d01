"""Every page's snippets run as printed, in order, and print what the page shows."""

from __future__ import annotations

import ast
import contextlib
import io
import re
import shutil
import socket
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.docs import environments, programs, snippets, visits, world
from tests.system_tools import need

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_ADDRESS = re.compile(r"\b(localhost|127\.0\.0\.1):(8000|8123)\b")


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The world's files, made once; each page works on a copy."""
    folder = tmp_path_factory.mktemp("shop") / "work"
    folder.mkdir()
    world.write_cache(folder)
    world.write_shop(folder)
    return folder


@pytest.fixture
def port() -> int:
    with socket.socket() as each:
        each.bind(("127.0.0.1", 0))
        return int(each.getsockname()[1])


# A warning is what a page's reader would see too, such as that a request is before a history begins.
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", PAGES, ids=[page.stem for page in PAGES])
def test_each_snippet_of_the_page_runs_and_prints_what_the_page_shows(
    path: Path, shop: Path, tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = snippets.read_page(path)
    if not page.snippets:
        return
    if any(re.search(r"^curl |\| curl ", each.code, re.M) for each in page.snippets):
        need("curl")
    work = tmp_path / "work"
    shutil.copytree(shop, work)
    shutil.copytree(world.cache_of(shop), world.cache_of(work))
    if not page.small_logs and any("100k" in each.code for each in page.snippets):
        world.use_real_log(work, "ml-100k")
    # The README's commands find what its install line brings, and no more.
    extras = (
        set(re.findall(r"pip install .*'\.\[([\w,]+)\]'", path.read_text())[:1]) if path.stem == "README" else set()
    )
    python = environments.environment(tmp_path / "installed", extras) if extras else Path(sys.executable)
    environment = world.environment(work, world.write_programs(work, python)) | {"DOCS_PORT": str(port)}
    monkeypatch.chdir(work)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    session = Session(path, work, environment, port)
    try:
        problems = [problem for each in page.snippets for problem in session.run(each)]
    finally:
        programs.stop(work)
    assert not problems, "\n\n".join(problems)


class Session:
    """A page's namespace and working directory."""

    def __init__(self, path: Path, work: Path, environment: dict[str, str], port: int) -> None:
        self.path, self.work, self.environment, self.port = path, work, environment, port
        self.names: dict[str, Any] = {"__name__": "__page__", "visits": visits, "port": port}

    def run(self, snippet: snippets.Snippet) -> Iterator[str]:
        """Run one snippet; yields what is not as the page says."""
        place = f"{self.path.name}:{snippet.line}"
        if snippet.skipped:
            return
        if snippet.kind == "file":
            (self.work / snippet.filename).write_text(self._local(snippet.code))
            return
        run = self._python if snippet.kind == "python" else self._shell
        printed, error = run(snippet, place)
        if error:
            yield f"{place}\n{snippet.code}\n{error}"
            return
        compared = snippet.output is not None and not snippet.output_varies
        if compared and not snippets.matches(self._local(snippet.output), printed):
            yield f"{place}\n{snippet.code}\nprinted:\n{printed}\nthe page shows:\n{snippet.output}"
        for check in snippet.checks:
            if not eval(check, self.names):
                yield f"{place}: not so: {check}"

    def _local(self, text: str) -> str:
        return _ADDRESS.sub(rf"\1:{self.port}", text)

    def _python(self, snippet: snippets.Snippet, place: str) -> tuple[str, str]:
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            try:
                for statement in ast.parse(snippet.code).body:
                    if isinstance(statement, ast.Expr):
                        value = eval(compile(ast.Expression(statement.value), place, "eval"), self.names)
                        if value is not None:
                            print(value)
                    else:
                        exec(compile(ast.Module([statement], []), place, "exec"), self.names)
            except Exception:
                return out.getvalue(), traceback.format_exc(limit=-3)
        return out.getvalue(), ""

    def _shell(self, snippet: snippets.Snippet, place: str) -> tuple[str, str]:
        commands = snippets.commands(self._local(snippet.code))
        if commands is None or any(words[:2] == ["segue", "serve"] for words in commands):
            done = self._by_bash(snippet)
            code, printed = done.returncode, done.stdout
        else:
            code, printed = programs.run_in_this_process(commands)
        refusal = re.search(r"^error [A-Z]\d+|\(exit code 2\)", snippet.output or "", re.M)
        if code and not refusal:
            return printed, f"exit code {code}\n{printed[-3000:]}"
        return printed, ""

    def _by_bash(self, snippet: snippets.Snippet) -> subprocess.CompletedProcess[str]:
        # A key that one command makes and the next one uses.
        script = f'[ -f .key ] && . ./.key\n{self._local(snippet.code)}\n[ -z "$KEY" ] || declare -p KEY > .key'
        return subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", script],
            cwd=self.work,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=300,
        )
