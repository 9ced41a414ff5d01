"""``python -m segue``: the command, where its script is not on the path."""

from segue.cli.main import run

run()
