"""Bars: silent when asked, on standard error only, and never in the way of the items they count."""

from __future__ import annotations

import io

import pytest

from segue import progress


def open_terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """Make standard error an interactive terminal whose output is kept."""
    screen = io.StringIO()
    screen.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("SEGUE_PROGRESS", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("TTY_COMPATIBLE", raising=False)
    return screen


def test_bars_are_on_unless_the_call_or_the_environment_turns_them_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEGUE_PROGRESS")
    assert progress.enabled()
    assert not progress.enabled(False)
    monkeypatch.setenv("SEGUE_PROGRESS", "0")
    assert not progress.enabled()
    monkeypatch.setenv("SEGUE_PROGRESS", "1")
    assert progress.enabled()


def test_a_bar_shows_its_title_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = open_terminal(monkeypatch)
    with progress.bar("Baking", 3) as advance:
        advance(3)
    assert "Baking" in terminal.getvalue()
    assert "3/3" in terminal.getvalue()
    assert capsys.readouterr().out == ""


def test_a_bar_of_bytes_counts_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = open_terminal(monkeypatch)
    with progress.bar("Fetching", 2_000_000, as_bytes=True) as advance:
        advance(2_000_000)
    assert "2.0/2.0 MB" in terminal.getvalue()


@pytest.mark.parametrize("how", ["argument", "environment"])
def test_a_bar_turned_off_writes_nothing(
    how: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = open_terminal(monkeypatch)
    if how == "environment":
        monkeypatch.setenv("SEGUE_PROGRESS", "0")
    with progress.bar("Baking", 3, progress=how != "argument") as advance:
        advance(1)
    assert terminal.getvalue() == ""
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("shown", ["0", "1"])
def test_tracking_hands_on_every_item_in_order(shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGUE_PROGRESS", shown)
    monkeypatch.setattr("sys.stderr", io.StringIO())
    assert list(progress.track(iter("abc"), "Letters", 3)) == ["a", "b", "c"]


def test_tracking_takes_items_one_by_one_as_they_are_asked_for() -> None:
    taken: list[int] = []

    def items():  # type: ignore[no-untyped-def]
        for number in range(5):
            taken.append(number)
            yield number

    tracked = progress.track(items(), "Numbers", 5)
    assert next(tracked) == 0
    assert taken == [0]


def test_an_error_in_the_block_passes_through_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    open_terminal(monkeypatch)

    def burnt() -> None:
        with progress.bar("Baking", None) as advance:
            advance(1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        burnt()


def test_a_part_of_the_work_stands_before_the_title_while_it_lasts() -> None:
    assert progress.titled("Training") == "Training"
    with progress.part("Member 1 of 2"):
        assert progress.titled("Training") == "Member 1 of 2: Training"
    assert progress.titled("Training") == "Training"
