"""Tests of the pages; ``make docs-test`` runs them apart from the others."""

import os

# Before rich makes a console: the width of the tables that the pages show.
os.environ.update(COLUMNS="120", NO_COLOR="1")
