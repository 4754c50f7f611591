"""What `RUN_OR_CORPUS` means: a run's folder, a dataset by its name, or a folder or file of music."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from noternn.audit.against import Reference, reference_of_run
from noternn.commands.options import corpus_at
from noternn.corpus.inspection import held_out_pieces
from noternn.corpus.reading import ReadingOptions
from noternn.health.surprise import Bounds, Nats
from noternn.health.yardstick import Yardstick
from noternn.runs.folder import RunFolder
from noternn.terminal import printable


def yardstick_at(target: str) -> Yardstick:
    """What the validation pieces of a run are like, from its folder if it is there, or of a corpus.

    Raises:
        UserError: if there is neither a run nor music.
    """
    path = Path(target)
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


def reference_at(target: str) -> Reference:
    """The pieces that samples may have copied: a run's training pieces, or a whole corpus.

    Raises:
        UserError: if there is neither a run nor music.
    """
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
