"""How much memory training takes on corpora of a million to a hundred million tokens."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from noternn.corpus.cache import Array, ArrayCache, Entry
from noternn.corpus.loading import Corpus
from noternn.corpus.splits import encode_corpus
from noternn.corpus.tokenized import TokenizedCorpus, tokenize_corpus
from noternn.datasets.sources import installed_sources
from noternn.errors import UserError
from noternn.tokenizer import build_tokenizer

SIZES = (10**6, 10**7, 10**8)
TOKENS_PER_SHARD = 10**6
NUM_STEPS = 30
TOKENIZER = {"name": "event"}
CACHE_DIR = Path("data/.cache")  # the default of training
STATUS = Path("/proc/self/status")


def bench_memory(
    sizes: tuple[int, ...] = SIZES, num_files: int | None = None
) -> tuple[str, list[dict[str, Any]]]:
    """Train some steps of the default network on corpora of some sizes, each in a process of its own.

    The corpora are the chorales again and again, each time in another key and with one token in twenty
    changed. Grouping near-duplicates is left out: these are all.

    Args:
        sizes: in tokens, at least.
        num_files: chorales to begin with; None takes all.

    Returns:
        what was done, in a line, and a row a corpus: tokens, megabytes on the disk, seconds of the first
        and of the second start (split, vocabulary, leak; imports not counted), what the memory that is not
        the content of files grew by at most in each, in megabytes, and milliseconds to make a batch.

    Raises:
        UserError: if the system does not tell how much memory a process has (all but Linux).
    """
    if not STATUS.exists():
        raise UserError("bench memory needs /proc, which this system does not have; run it on Linux")
    base = tokenize_corpus(installed_sources("bach")[:num_files], TOKENIZER, CACHE_DIR)
    rows = []
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            fingerprints = write_repeated(base, Path(folder), size)
            first, second = (_in_process(Path(folder), fingerprints) for _ in range(2))
            on_disk = sum(file.stat().st_size for file in Path(folder).rglob("*.npy"))
        rows.append(
            {
                "name": f"{second['tokens']:,} tokens",
                "disk_mb": on_disk / 1e6,
                "first_start_s": first["start_seconds"],
                "first_peak_mb": first["peak_mb"],
                "second_start_s": second["start_seconds"],
                "peak_mb": second["peak_mb"],
                "ms_per_batch": second["ms_per_batch"],
            }
        )
    line = f"{NUM_STEPS} steps of the default network; memory beyond imports that is not the content of files"
    return line, rows


def write_repeated(base: TokenizedCorpus, folder: Path, num_tokens: int) -> list[str]:
    """Write shards of at least `num_tokens` tokens in all; their fingerprints, the index's last."""
    [shard] = base.shards
    cache = ArrayCache(folder)
    per_shard = max(1, min(TOKENS_PER_SHARD, num_tokens) // len(shard.arrays["indices"]))
    num_shards = -(-num_tokens // (per_shard * len(shard.arrays["indices"])))
    fingerprints = [2 * f"{i:032x}" for i in range(num_shards + 1)]
    rng = np.random.default_rng(0)
    for number, fingerprint in enumerate(fingerprints[:-1]):
        copies = [_changed(shard, number * per_shard + i, rng) for i in range(per_shard)]
        cache.get(fingerprint, lambda copies=copies: _joined(shard, copies))  # type: ignore[misc]
    hashes = np.concatenate([cache.get(f, _never).arrays["music_hashes"] for f in fingerprints[:-1]])
    order = np.arange(len(hashes))
    cache.get(fingerprints[-1], lambda: Entry({"order": order, "groups": hashes}, {}))
    return fingerprints


def _changed(shard: Entry, number: int, rng: np.random.Generator) -> dict[str, Array]:
    """All pieces of a shard with other pitches, and each twentieth token another of its kind."""
    tokens = shard.values["tokens"]
    indices = shard.arrays["indices"].copy()
    kinds = np.unique([token.split("_")[0] for token in tokens], return_inverse=True)[1]
    for kind in range(kinds.max() + 1):
        members = np.flatnonzero(kinds == kind)
        of_kind = np.flatnonzero(np.isin(indices, members))
        place = np.searchsorted(members, indices[of_kind])
        if tokens[members[0]].startswith("Pitch"):
            place = (place + number) % len(members)
        replaced = rng.random(len(place)) < 0.05
        place[replaced] = rng.integers(len(members), size=replaced.sum())
        indices[of_kind] = members[place]
    hashes = np.array([f"{number:08x}{i:056x}" for i in range(len(shard.arrays["names"]))], dtype="S64")
    names = np.char.add(f"{number:06d}/".encode(), shard.arrays["names"])
    steps = shard.arrays["steps"] + np.uint32(number % 64)
    return {"indices": indices, "music_hashes": hashes, "names": names, "steps": steps}


def _joined(shard: Entry, copies: list[dict[str, Array]]) -> Entry:
    """A shard of all the copies."""
    arrays: dict[str, Array] = {}
    for name, array in shard.arrays.items():
        if name.endswith("offsets"):
            lengths = np.tile(np.diff(array), len(copies))
            arrays[name] = np.concatenate([[0], np.cumsum(lengths)])
        else:
            arrays[name] = np.concatenate([copy.get(name, array) for copy in copies])
    return Entry(arrays, shard.values)


def _never() -> Entry:
    raise AssertionError("it was written just now")


def _in_process(folder: Path, fingerprints: list[str]) -> dict[str, float]:
    program = f"from {__name__} import train_and_measure; train_and_measure()"
    given = json.dumps({"folder": str(folder), "fingerprints": fingerprints})
    done = subprocess.run([sys.executable, "-c", program], input=given, text=True, capture_output=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


def train_and_measure() -> None:
    """What `_in_process` runs: train on the shards named on stdin, print what it took as JSON."""
    import pytorch_lightning as pl

    from noternn.model.build import network_for
    from noternn.training.datamodule import MidiDataModule
    from noternn.training.module import NoteRNN

    given = json.load(sys.stdin)
    network = {"embedding_dim": 128, "hidden_size": 256, "num_layers": 1, "dropout": 0.4, "num_fc_layers": 1}
    before = anonymous_mb()
    peaks = [before]
    threading.Thread(target=_watch, args=(peaks,), daemon=True).start()
    start = time.perf_counter()
    tokenized = _stored(ArrayCache(Path(given["folder"])), given["fingerprints"])
    tokenizer = build_tokenizer(TOKENIZER["name"])
    encoded = encode_corpus(
        tokenized, seed=0, validation_fraction=0.1, test_fraction=0.1, tokenizer=tokenizer
    )
    corpus = Corpus(TOKENIZER, tokenized, encoded)
    data = MidiDataModule(corpus, batch_size=16, window_length=64, seed=0)
    start_seconds = time.perf_counter() - start
    module = NoteRNN(network_for(corpus.codec, network), {"name": "Adam", "lr": 0.002}, seed=0)
    trainer = pl.Trainer(
        accelerator="cpu", max_steps=NUM_STEPS, logger=False, enable_checkpointing=False, limit_val_batches=0,
        num_sanity_val_steps=0, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(module, datamodule=data)
    batches = iter(data.train_dataloader())
    start = time.perf_counter()
    num_batches = sum(1 for _, _ in zip(range(200), batches, strict=False))
    measured = {
        "tokens": int(tokenized.num_tokens.sum()),
        "start_seconds": start_seconds,
        "peak_mb": max(peaks) - before,
        "ms_per_batch": 1000 * (time.perf_counter() - start) / num_batches,
    }
    print(json.dumps(measured))


def _stored(cache: ArrayCache, fingerprints: list[str]) -> TokenizedCorpus:
    *shards, index = (cache.get(fingerprint, _never) for fingerprint in fingerprints)
    arrays = index.arrays
    return TokenizedCorpus(fingerprints[-1], cache, tuple(shards), arrays["order"], arrays["groups"])


def anonymous_mb() -> float:
    """Memory of this process that is not the content of a file, in megabytes."""
    [line] = [line for line in STATUS.read_text().splitlines() if line.startswith("RssAnon")]
    return int(line.split()[1]) / 1000


def _watch(peaks: list[float]) -> None:
    while True:
        peaks.append(anonymous_mb())
        time.sleep(0.01)
