"""FP-growth and association rules of mlxtend on baskets from a Parquet file; runs in the peers' environment.

    python mlxtend_rules.py BASKETS OUT MIN_SUPPORT MIN_CONFIDENCE MAX_LENGTH

BASKETS has ``basket`` and ``item`` (whole numbers from 0, each pair once). The sparse frame is made before the clock
starts. Writes the rules with one item as consequent to OUT and prints the seconds as JSON.
"""

import json
import sys
import time
from importlib import metadata

import numpy as np
import pandas as pd
from mlxtend.frequent_patterns import association_rules, fpgrowth
from scipy import sparse

baskets, out, support, confidence, length = sys.argv[1:]
entries = pd.read_parquet(baskets)
place = (np.ones(len(entries), dtype=bool), (entries["basket"], entries["item"]))
frame = pd.DataFrame.sparse.from_spmatrix(sparse.csr_matrix(place))
frame.columns = [str(name) for name in frame.columns]  # it refuses other names of sparse columns
began = time.perf_counter()
used = time.process_time()
found = fpgrowth(frame, min_support=float(support), use_colnames=True, max_len=int(length))
mined = time.perf_counter()
rules = association_rules(found, metric="confidence", min_threshold=float(confidence))
rules = rules[rules["consequents"].map(len) == 1]
seconds, core_seconds = time.perf_counter() - began, time.process_time() - used
rules = rules[["antecedents", "consequents", "support", "confidence", "lift", "leverage", "conviction"]]
for side in ("antecedents", "consequents"):
    rules[side] = [sorted(int(name) for name in names) for names in rules[side]]
rules.to_parquet(out)
print(
    json.dumps(
        {
            "version": metadata.version("mlxtend"),
            "seconds": seconds,
            "fpgrowth_seconds": mined - began,
            "core_seconds": core_seconds,
            "itemsets": len(found),
            "rules": len(rules),
        }
    )
)
