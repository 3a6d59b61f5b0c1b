"""A small store as one meets them, with names that would do harm where a page took them for more than names."""

from pathlib import Path

import numpy as np
import pandas as pd

IDS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "javascript:alert(1)",
    "../../etc/passwd",
    "a/b?c#d&e=f%2e%2e",
    "电话 01",
    "{{ 7 * 7 }}",
    "tab\there\x1b[31m",
    *(f"plain {i}" for i in range(28)),
]
LABELS = ["<u>joy</u>", "fear & co", "'\"><svg onload=alert(1)>"]
SECONDS, RATE = 1.0, 16_000


def corpus(folder: Path) -> pd.DataFrame:
    """Tones and pictures, a file each, and a table of them; the last sound is broken."""
    import soundfile
    from PIL import Image

    folder.mkdir(parents=True)
    t = np.arange(int(SECONDS * RATE)) / RATE
    rows = []
    for i, sample_id in enumerate(IDS):
        kind = i % len(LABELS)
        soundfile.write(folder / f"{i}.wav", 0.3 * np.sin(2 * np.pi * (150 + 100 * kind + i) * t), RATE)
        Image.fromarray(np.full((40, 60, 3), 7 * i % 256, np.uint8)).save(folder / f"{i}.png")
        rows.append((sample_id, f"who {i % 4}", f"{i}.wav", f"{i}.png", f"<u>word {i}</u>", LABELS[kind]))
    (folder / f"{len(IDS) - 1}.wav").write_bytes(b"RIFF")  # one that cannot be read
    return pd.DataFrame(rows, columns=["sample_id", "speaker", "audio", "image", "text", "mood"])


def store_of(folder: Path) -> str:
    """Refreshed, with two embeddings brought in, benchmarked twice."""
    from affectlake.data.store import Store
    from affectlake.flows.benchmark import BenchOptions, benchmark
    from affectlake.flows.options import RefreshOptions
    from affectlake.flows.refresh import refresh

    table = corpus(folder / "media")
    manifest = folder / "media" / "manifest.csv"
    table.to_csv(manifest, index=False)
    uri = str(folder / "lake")
    only = ("audio.recording", "text.style")
    refresh(RefreshOptions("calls", manifest=str(manifest), store=uri, only=only, workers=1))
    rng = np.random.default_rng(0)
    values = rng.normal(size=(len(IDS), 16)) + np.arange(len(IDS))[:, None] % 3
    frame = pd.DataFrame(values, index=IDS, columns=[f"e{i}" for i in range(16)])
    Store(uri).put("calls", "audio", "embedding", frame)
    Store(uri).put("calls", "text", "embedding", -frame)
    for model in ("lda", "logreg"):
        options = BenchOptions(
            "calls", label="mood", store=uri, models=(model,), fusions=("unimodal", "dummy"), folds=3, explain=False
        )
        benchmark(options, map=map)
    return uri
