"""Nothing in the source can run what it reads from disk: a ban over the syntax tree, and its broken twins."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import segue

SOURCE = Path(segue.__file__).parent
BANNED_MODULES = {
    "pickle",
    "cPickle",
    "_pickle",
    "cloudpickle",
    "dill",
    "joblib",
    "marshal",
    "shelve",
    "jsonpickle",
    "runpy",
}
BANNED_CALLS = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "torch.load",
    "torch.save",
    "torch.jit.load",
    "torch.hub.load",
    "yaml.load",
    "yaml.unsafe_load",
    "yaml.full_load",
    "np.load",
    "numpy.load",
}
BANNED_METHODS = {"read_pickle", "to_pickle", "load_from_checkpoint", "unsafe_load"}
BANNED_WORDS = {"allow_pickle", "weights_only"}
HARMLESS = {"re.compile"}


def banned(source: str) -> list[str]:
    """What of a module could run code from disk: line and name."""
    tree = ast.parse(source)
    aliases: dict[str, str] = {}
    found: list[str] = []

    def note(node: ast.AST, name: str) -> None:
        found.append(f"line {getattr(node, 'lineno', 0)}: {name}")

    def full(node: ast.expr) -> str:
        if isinstance(node, ast.Attribute):
            return f"{full(node.value)}.{node.attr}"
        return aliases.get(node.id, node.id) if isinstance(node, ast.Name) else "?"

    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            aliases |= {
                alias.asname or alias.name.partition(".")[0]: alias.name for alias in node.names if alias.asname
            }
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            aliases |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
        else:
            continue
        for name in names:
            if name.partition(".")[0] in BANNED_MODULES or name in BANNED_CALLS:
                note(node, name)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = full(node.func)
            if name in HARMLESS:
                continue
            plain = name.removeprefix("builtins.")
            if plain in BANNED_CALLS or name.rpartition(".")[2] in BANNED_METHODS:
                note(node, name)
            if plain.rpartition(".")[2] in {"import_module", "__import__"} and node.args:
                what = node.args[0]
                if isinstance(what, ast.Constant) and str(what.value).partition(".")[0] in BANNED_MODULES:
                    note(node, f"import of {what.value}")
            found.extend(f"line {node.lineno}: {word.arg}=" for word in node.keywords if word.arg in BANNED_WORDS)
        elif isinstance(node, ast.Attribute) and full(node) in BANNED_CALLS:
            note(node, full(node))
        elif isinstance(node, ast.Name) and node.id in {"eval", "exec", "__import__"}:
            note(node, node.id)
    return found


@pytest.mark.parametrize("file", sorted(SOURCE.rglob("*.py")), ids=lambda file: str(file.relative_to(SOURCE)))
def test_no_module_can_run_what_it_reads(file: Path) -> None:
    assert banned(file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "bad",
    [
        "import pickle",
        "import pickle as p\np.load(f)",
        "from pickle import loads",
        "import torch\ntorch.load(f)",
        "import torch\ntorch.load(f, weights_only=True)",
        "import torch as t\nt.load(f)",
        "from torch import load",
        "from torch import load as bring\nbring(f)",
        "import torch\nbring = torch.load\nbring(f)",
        "import joblib\njoblib.load(f)",
        "from joblib import load",
        "import yaml\nyaml.load(f)",
        "import yaml as y\ny.unsafe_load(f)",
        "from yaml import load\nload(f)",
        "eval(text)",
        "run = eval\nrun(text)",
        "exec(text)",
        "import builtins\nbuiltins.exec(text)",
        "compile(text, 'x', 'exec')",
        "import marshal\nmarshal.loads(b)",
        "from marshal import loads",
        "import dill",
        "from dill import loads",
        "__import__('pickle')",
        "import importlib\nimportlib.import_module('pickle')",
        "def inner():\n    from importlib import import_module\n    import_module('dill')",
        "import numpy as np\nnp.load(f)",
        "x = load(f, allow_pickle=True)",
        "import pandas as pd\npd.read_pickle(f)",
        "Model.load_from_checkpoint(f)",
        "if True:\n    def f():\n        import shelve",
    ],
)
def test_the_ban_finds_each_broken_twin(bad: str) -> None:
    assert banned(bad)


@pytest.mark.parametrize(
    "good",
    [
        "import re\nre.compile('x')",
        "import json\njson.load(f)",
        "import segue\nsegue.load(p)",
        "model.eval()",
        "'pickle'",
    ],
)
def test_the_ban_leaves_harmless_code_alone(good: str) -> None:
    assert banned(good) == []
