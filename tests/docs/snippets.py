"""Snippets of a Markdown page: its code, its shell commands, and the output that stands below them.

A page is a session, as in a notebook: its Python blocks share one namespace and its commands one working directory.

- A fenced ``python`` block is executed. Every expression at its top level is echoed, as an interactive session does.
- A fenced ``sh`` block is one script. In any other block, fenced or indented, the lines that start with ``$ `` or with
  a known program are commands; what follows such a line in the block is its output.
- A block without commands directly below a snippet is that snippet's output.
- ``toml``, ``yaml`` and ``json`` blocks whose first line is ``# NAME`` are written to the file ``NAME``.

Output is compared unless a directive says why it cannot be. Runs of white space count as one space, and ``...`` stands
for any text. Directives are HTML comments, which a reader of the rendered page does not see:

- ``<!-- output varies: REASON -->`` before an output: it is an example and is not compared.
- ``<!-- check: EXPRESSION -->`` after a Python block: the expression is true there (figures that the prose repeats).
- ``<!-- setup: EXPRESSION -->``: what happens in between according to the prose, such as ``visits.send_events(port)``.
- ``<!-- not executed: REASON -->`` before a snippet: it needs what no test machine has, such as a second machine.
- ``<!-- small logs: REASON -->`` anywhere: ``ml-100k`` and ``ml-1m`` are logs of 72 users on this page.
"""

from __future__ import annotations

import contextlib
import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

PROGRAMS = ("segue ", "python -m ", "python -c ", "curl ", "pip install ", "make ", "tensorboard ", "SEGUE_")
_FENCE = re.compile(r"```(\w*)\s*$")
_DIRECTIVE = re.compile(r"<!-- (output varies|check|setup|not executed|small logs): (.*?) -->", re.S)

Kind = Literal["python", "shell", "file"]


@dataclass
class Snippet:
    """One piece of a page that a reader may paste.

    Attributes:
        kind: what runs it; a ``file`` is written and not run.
        line: of the page, from 1.
        code: Python, a script, or the text of the file.
        output: what it prints according to the page, if anything.
        output_varies: the page's output is an example.
        checks: expressions that hold after it.
        skipped: why it is not executed; empty for all others.
        filename: of a ``file``.
    """

    kind: Kind
    line: int
    code: str
    output: str | None = None
    output_varies: bool = False
    checks: list[str] = field(default_factory=list)
    skipped: str = ""
    filename: str = ""


@dataclass
class Page:
    """The snippets of one Markdown file, in order, and whether ready data sets are small ones on it."""

    snippets: list[Snippet]
    small_logs: bool


@dataclass
class _Block:
    language: str
    line: int
    text: str


def read_page(path: Path) -> Page:
    """Parse a page."""
    snippets: list[Snippet] = []
    varies, skipped, adjacent, small = False, "", False, False
    for part in _parts(path.read_text(encoding="utf-8")):
        if isinstance(part, str):
            directive = _DIRECTIVE.fullmatch(part.strip())
            if directive is None:
                adjacent = False
            elif directive[1] == "output varies":
                varies = True
            elif directive[1] == "not executed":
                skipped = directive[2]
            elif directive[1] == "small logs":
                small = True
            elif directive[1] == "setup":
                snippets.append(Snippet("python", 0, directive[2]))
            else:
                snippets[-1].checks.append(directive[2])
            continue
        made = _snippets(part)
        if made:
            for snippet in made:
                snippet.skipped, snippet.output_varies = skipped, varies
            snippets += made
            adjacent = True
        elif adjacent and part.language in ("", "text", "json"):
            snippets[-1].output = part.text
            snippets[-1].output_varies |= varies
            adjacent = False
        varies, skipped = False, ""
    return Page(snippets, small)


def _parts(text: str) -> list[str | _Block]:
    """Paragraphs (lists and headings too) and code blocks in the order of the page."""
    parts: list[str | _Block] = []
    lines = text.splitlines()
    at, prose = 0, []

    def end_of_paragraph() -> None:
        if prose:
            parts.append("\n".join(prose))
            prose.clear()

    while at < len(lines):
        fence = _FENCE.match(lines[at])
        if fence:
            end_of_paragraph()
            end = next(n for n in range(at + 1, len(lines)) if lines[n].startswith("```"))
            parts.append(_Block(fence[1], at + 1, "\n".join(lines[at + 1 : end])))
            at = end + 1
        elif lines[at].startswith("    ") and not prose:
            end = at
            while end < len(lines) and (lines[end].startswith("    ") or not lines[end].strip()):
                end += 1
            body = [line.removeprefix("    ") for line in lines[at:end]]
            parts.append(_Block("", at + 1, "\n".join(body).rstrip()))
            at = end
        elif not lines[at].strip() or lines[at].startswith("<!-- "):
            end_of_paragraph()
            if lines[at].strip():
                parts.append(lines[at])
            at += 1
        else:
            prose.append(lines[at])
            at += 1
    end_of_paragraph()
    return parts


def _snippets(block: _Block) -> list[Snippet]:
    """What a block asks to run or to write; empty where it is output or a drawing."""
    name = re.match(r"# ([\w.-]+\.(?:toml|yml|yaml|json))\n", block.text)
    if block.language == "python":
        return [Snippet("python", block.line, block.text)]
    if block.language == "sh":
        return [Snippet("shell", block.line, block.text)]
    if name:
        return [Snippet("file", block.line, block.text, filename=name[1])]
    if block.language not in ("", "text"):
        return []
    return _session(block)


def _session(block: _Block) -> list[Snippet]:
    """Commands with their output, of a block that a terminal could show."""
    snippets: list[Snippet] = []
    output: list[str] = []
    goes_on = False
    for number, line in enumerate(block.text.splitlines()):
        command = line.removeprefix("$ ")
        if goes_on:
            snippets[-1].code += "\n" + line
        elif line.startswith("$ ") or line.startswith(PROGRAMS):
            if output and snippets:
                snippets[-1].output = "\n".join(output)
            output = []
            snippets.append(Snippet("shell", block.line + number, command))
        else:
            output.append(line)
        goes_on = bool(snippets) and not output and line.endswith("\\")
    if snippets and any(line.strip() for line in output):
        snippets[-1].output = "\n".join(output)
    return snippets


def commands(script: str) -> list[list[str]] | None:
    """The words of each command of a script of ``segue`` commands alone; None where it needs a shell."""
    if any(sign in script for sign in ("$", "|", "<", ">", "&", ";", "`")):
        return None
    lines = [line for line in script.replace("\\\n", " ").splitlines() if line.strip() and not line.startswith("#")]
    return [shlex.split(line, comments=True) for line in lines] if all(map(_is_ours, lines)) else None


def _is_ours(line: str) -> bool:
    return line.startswith("segue ")


def matches(expected: str, printed: str) -> bool:
    """Whether output is what the page shows, up to white space and ``...``; JSON may be laid out differently."""
    with contextlib.suppress(ValueError):
        return bool(json.loads(expected) == json.loads(printed))
    parts = [re.escape(" ".join(part.split())) for part in expected.split("...")]
    pattern = r"\s*.*?\s*".join(parts)
    return re.fullmatch(pattern, " ".join(printed.split()), re.S) is not None
