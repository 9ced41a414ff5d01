"""Ready data sets and weights: fetched once into the user's cache, checked, with their licence.

``segue.datasets.movielens_100k()`` reads what ``segue fetch ml-100k`` brought.
"""

from segue.artefacts import cache_directory
from segue.datasets.catalogue import SOURCES, Source, folder, movielens_1m, movielens_100k
from segue.datasets.fetch import fetch

__all__ = ["SOURCES", "Source", "cache_directory", "fetch", "folder", "movielens_1m", "movielens_100k"]
