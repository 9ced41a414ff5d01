"""Commands that messages, help and documentation name: each is one that the command line takes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer.main

import segue as package
from segue import errors
from segue.cli.main import app
from tests.cli.test_verbs import segue

ROOT = Path(__file__).parents[2]
GROUP = typer.main.get_command(app)
ENDS = re.compile(r"(?:&&|\|\||[|;>#`)]|\.\s|, which|  and  | lists | makes )")


def commands_of(text: str) -> Iterator[str]:
    """Each ``segue verb ...`` of a text up to the end of the command."""
    text = re.sub(r"\\\n\s*", " ", text)
    for found in re.finditer(r"(?<![\w./-])segue (?=[a-z-]+)([^\n]*)", text):
        yield ENDS.split(found[1], 1)[0].strip().rstrip(".,)\"'")


def fault_of(words: str) -> str | None:
    """What is wrong with a command, or None; a first word that is no verb is prose and not checked."""
    try:
        parts = shlex.split(words.replace("\\[", "["))
    except ValueError:
        parts = words.split()
    command: click.Command | None = GROUP  # type: ignore[assignment]
    path: list[str] = []
    while parts and hasattr(command, "commands") and parts[0] in command.commands:  # type: ignore[union-attr]
        command = command.commands[parts[0]]  # type: ignore[union-attr]
        path.append(parts.pop(0))
    known = {name for each in command.params for name in (*each.opts, *each.secondary_opts)} | {"--help"}  # type: ignore[union-attr]
    for part in parts:
        name = part.partition("=")[0]
        if re.fullmatch(r"--[a-z][a-z-]*", name) and name not in known:
            return f"segue {' '.join(path)} has no option {name}"
    return None


def sources() -> Iterator[tuple[str, str]]:
    for cls in errors.catalogue():
        yield cls.__name__, f"{cls.template}\n{cls.remedy}"
    for file in [*(ROOT / "docs").glob("*.md"), ROOT / "README.md"]:
        yield file.name, file.read_text(encoding="utf-8")
    for file in Path(package.__file__).parent.rglob("*.py"):
        yield str(file.relative_to(Path(package.__file__).parent)), file.read_text(encoding="utf-8")


def test_every_command_that_is_named_anywhere_has_the_options_it_is_named_with() -> None:
    named = [(where, words) for where, text in sources() for words in commands_of(text)]
    assert len(named) > 100
    assert not [f"{where}: {fault}" for where, words in named if (fault := fault_of(words))]


def test_every_command_in_backticks_or_after_a_colon_in_a_remedy_exists() -> None:
    for cls in errors.catalogue():
        for words in commands_of(cls.remedy):
            verb = words.split()[0]
            assert verb in GROUP.commands or verb == "wrote", f"{cls.__name__}: segue {verb}"  # type: ignore[attr-defined]


def test_every_option_in_a_remedy_is_one_of_some_command() -> None:
    def below(command: click.Command) -> Iterator[str]:
        for each in command.params:
            yield from (*each.opts, *each.secondary_opts)
        for inner in getattr(command, "commands", {}).values():
            yield from below(inner)

    known = set(below(GROUP))  # type: ignore[arg-type]
    for cls in errors.catalogue():
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", f"{cls.template} {cls.remedy}"):
            assert option in known, f"{cls.__name__}: {option}"


@pytest.mark.parametrize("words", ["tune log.csv --item x", "train log --outt x", "keys create --scop admin"])
def test_the_check_of_commands_finds_a_broken_one(words: str) -> None:
    assert fault_of(next(commands_of(f"Do this: segue {words}"))) is not None


def next_command(printed: str) -> list[str]:
    return shlex.split(next(line for line in printed.splitlines() if line.startswith("Next: ")).removeprefix("Next: "))


@pytest.fixture
def files(log, catalogue, tmp_path, monkeypatch):
    """A log and a catalogue whose names have a space and a bracket, with the columns of another shop."""
    monkeypatch.chdir(tmp_path)
    log.rename({"user_id": "uid"}).write_csv("my [log].csv")
    catalogue.write_parquet("my items.parquet")
    return tmp_path


def test_the_next_commands_of_tune_and_train_run_as_they_are_printed(files) -> None:
    pytest.importorskip("optuna")
    tuned = segue(
        *("tune", "my [log].csv", "--items", "my items.parquet", "--columns", "user_id=uid", "--recommender", "EASE"),
        *("--trials", 1, "--out", "the best.toml", "--split", "by-time", "-q"),
    )
    assert tuned.returncode == 0, tuned.stderr
    words = next_command(tuned.stdout)
    assert words[1:] == [
        *("train", "my [log].csv", "--items", "my items.parquet", "--columns", "user_id=uid", "--split", "by-time"),
        *("--config", "the best.toml", "--out", "models/best"),
    ]
    trained = segue(*words[1:])
    assert trained.returncode == 0, trained.stderr
    evaluated = segue(*next_command(trained.stdout)[1:])
    assert evaluated.returncode == 0, evaluated.stderr
    assert (files / "report.html").exists()


def test_a_resume_with_nothing_to_resume_says_so(files) -> None:
    arguments = (
        "train",
        "my [log].csv",
        "--columns",
        "user_id=uid",
        "--set",
        "regularisation=5",
        "--out",
        "model",
        "-q",
    )
    done = segue(*arguments, "--recommender", "EASE", "--resume")
    assert done.returncode == 0, done.stderr
    assert "Nothing to resume" in done.stdout
    assert "Nothing to resume" not in segue(*arguments, "--recommender", "EASE").stdout


@pytest.mark.parametrize("name", ["lists.docx", "lists"])
def test_a_file_that_cannot_be_written_is_named_with_those_that_can(files, name: str) -> None:
    train = ("train", "my [log].csv", "--columns", "user_id=uid", "--recommender", "Popular", "--out", "model", "-q")
    assert segue(*train).returncode == 0
    done = segue("recommend", "model", "--users", "u1", "--out", name)
    assert done.returncode == 2
    assert "C012" in done.stderr
    assert "Cannot write" in done.stderr
    assert ".parquet, .csv, .tsv, .jsonl" in done.stderr


def test_a_language_model_is_switched_off_from_the_command_line(files) -> None:
    train = ("train", "my [log].csv", "--items", "my items.parquet", "--columns", "user_id=uid", "--out", "model", "-q")
    tiny = ("--set", "embedding_size=8", "--set", "blocks=1", "--set", "epochs=1", "--set", "features=none")
    done = segue(*train, *tiny, "--set", "text=none", "--set", "text_likeness=8")
    assert done.returncode == 0, done.stderr
    model = package.load("model")
    assert (model.config.text, model.config.features) == (None, [])
    assert "text_likeness=8 of SequenceRecommender changes nothing here" in done.stderr
