"""What `RUN_OR_CORPUS` means: a run's folder, a dataset by its name, or a folder or file of music."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from noternn.audit.against import Reference, reference_of_run
from noternn.commands.options import corpus_at
from noternn.corpus.inspection import held_out_pieces
from noternn.corpus.reading import ReadingOptions
from noternn.datasets.labels import names_labelled
from noternn.health.surprise import Bounds, Nats
from noternn.health.yardstick import Yardstick
from noternn.runs.folder import RunFolder
from noternn.terminal import printable


def yardstick_at(target: str, label: str = "") -> Yardstick:
    """What the validation pieces of a run are like, from its folder if it is there, or of a corpus.

    Args:
        target: see above.
        label: of the pieces of a run that are measured; "" takes all.

    Raises:
        UserError: if there is neither a run nor music, or if a run has no pieces of the label.
    """
    path = Path(target)
    if label:
        return _yardstick_of_label(path, label)
    folder = RunFolder(path.parent if path.suffix == ".ckpt" else path)
    if folder.health.is_file():
        return Yardstick.load(folder.health)
    if path.suffix == ".ckpt" or folder.best_checkpoint.is_file():
        from noternn.evaluation.loading import load_runs  # with torch, which the others need not
        from noternn.sampling.scoring import scorer

        run = load_runs([path])[0]
        corpus, composer = run.corpus, run.composer
        yardstick = Yardstick.of(corpus.pieces("validation"), corpus.pieces("train"))
        nats, num_notes = scorer(composer.network, composer.codec), run.config["sampling"]["num_notes"]
        return replace(yardstick, network=Bounds.of(corpus.pieces("validation"), nats, num_notes))
    sources, config = corpus_at(target)
    return Yardstick.of(*held_out_pieces(sources, config))


def nats_at(target: str, yardstick: Yardstick) -> Nats | None:
    """What gives the nats a note of pieces under the network of `yardstick.network`; None without one."""
    path = Path(target)
    is_there = path.is_file() or RunFolder(path).best_checkpoint.is_file()
    if yardstick.network is None or not is_there:
        return None
    from noternn.model.checkpoint import checkpoint_path
    from noternn.sampling.composer import load_composer
    from noternn.sampling.scoring import scorer

    composer = load_composer(checkpoint_path(path))
    return scorer(composer.network, composer.codec)


def _yardstick_of_label(run: Path, label: str) -> Yardstick:
    """What the validation pieces with a label are like."""
    from noternn.evaluation.loading import load_runs

    corpus = load_runs([run])[0].corpus
    wanted = names_labelled(label, corpus.labelled or {})
    held_out, trained = (
        (piece for piece in corpus.pieces(split) if piece.name in wanted) for split in ("validation", "train")
    )
    return Yardstick.of(held_out, trained)


def reference_at(target: str, label: str = "") -> Reference:
    """The pieces that samples may have copied: a run's training pieces, or a whole corpus.

    Args:
        target: see above.
        label: of the training pieces of a run; "" takes all.

    Raises:
        UserError: if there is neither a run nor music, or if a run has no pieces of the label.
    """
    if label:
        return reference_of_run(Path(target), label)
    if RunFolder(Path(target)).is_run:
        return reference_of_run(Path(target))
    sources, config = corpus_at(target)
    data = config.datamodule
    return Reference(
        title=printable(target),
        corpus=sources,
        held_out=[],
        options=ReadingOptions.of(config.dataset),
        cache_dir=Path(data.cache_dir) if data.cache_dir else None,
        num_processes=data.num_processes,
    )
