"""sentence-transformers on a list of texts: seconds of each repeat. Prints one JSON line.

Runs in the text peers' environment: texts.json, the model's folder, repeats, and where the vectors go.
"""

import json
import sys
import time
from importlib import metadata

import numpy as np
from sentence_transformers import SentenceTransformer

texts = json.load(open(sys.argv[1], encoding="utf-8"))
model = SentenceTransformer(sys.argv[2], device="cpu")
model.max_seq_length = 64
times, used = [], []
model.encode(texts[:64], batch_size=32)
for _ in range(int(sys.argv[3])):
    began, before = time.perf_counter(), time.process_time()
    vectors = model.encode(texts, batch_size=32, show_progress_bar=False)
    times.append(time.perf_counter() - began)
    used.append(time.process_time() - before)
np.save(sys.argv[4], vectors)
print(json.dumps({"version": metadata.version("sentence-transformers"), "seconds": min(times), "every": times, "core_seconds": min(used)}))
