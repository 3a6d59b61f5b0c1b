"""`get_historical_features` of Feast on what `affectlake export DATASET OUT --feast` wrote.

Feast lives in an environment of its own: `python benchmarks/feast_offline.py OUT` with that environment's Python.
"""

import sys
import time
from pathlib import Path

sys.path.pop(0)  # a script beside this one is called as a module of Python's own, statistics

import pandas as pd
from feast import FeatureStore

out = Path(sys.argv[1])
store = FeatureStore(str(out))
ids = pd.read_parquet(out / "samples.parquet", columns=["sample_id"])["sample_id"]
entities = pd.DataFrame({"sample_id": ids, "event_timestamp": pd.Timestamp.now("UTC")})
features = [f"{view.name}:{field.name}" for view in store.list_feature_views() for field in view.features]
start = time.perf_counter()
frame = store.get_historical_features(entities, features, full_feature_names=True).to_df()
print(f"{len(frame)} samples x {len(features)} columns: {time.perf_counter() - start:.2f} s")
