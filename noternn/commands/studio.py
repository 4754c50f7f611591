"""`noternn studio`: write a page in which the network of a run composes and is played with."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noternn.commands.options import add_label, check_output, write
from noternn.errors import UserError, install, require

if TYPE_CHECKING:
    from noternn.model.checkpoint import Trained
    from noternn.music.soundfont import SoundFont


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "network",
        type=Path,
        metavar="RUN_OR_CHECKPOINT",
        help="a run's folder, a .ckpt file, or base: the network that comes with the package",
    )
    parser.add_argument("-o", "--output", type=Path, metavar="OUT.html", help="the page (RUN/studio.html)")
    add_label(parser)
    parser.add_argument(
        "--bits",
        type=int,
        choices=(16, 32),
        default=16,
        help="of each weight; 32 gives the very numbers of the run, in a page of twice the size (16)",
    )
    parser.add_argument(
        "--soundfont",
        type=Path,
        metavar="FILE.sf2",
        help="put recorded notes of the network's instruments into the page, up to 16 MB; "
        "for the font that comes with the extra sound, the word default",
    )


def run(options: argparse.Namespace) -> None:
    """Write the page in which the network of a run composes."""
    is_run = options.network.is_dir()
    output = options.output or (options.network if is_run else Path()) / "studio.html"
    check_output("-o", output, ".html")
    from noternn.config.sampling import Sampling
    from noternn.model.checkpoint import BASE, checkpoint_path, load_checkpoint, trained_of
    from noternn.model.labels import told
    from noternn.model.plain import plain_of
    from noternn.pages.listen import HeardRun, read_run
    from noternn.pages.sounds import sounds_of
    from noternn.pages.studio import Studio, save_page
    from noternn.runs.card import read_card
    from noternn.runs.folder import RunFolder

    font = _font(options.soundfont)
    checkpoint = checkpoint_path(options.network)
    folder = options.network if is_run else checkpoint.parent
    heard = HeardRun(folder.name, [], [], [], "")
    if RunFolder(folder).holds_music_or_losses:
        heard = replace(read_run(folder), takes=[])
    trained: Trained = trained_of(load_checkpoint(checkpoint), checkpoint)
    network, bands = told(options.label, trained.network, trained.bands, trained.labels)
    plain = plain_of(trained._replace(network=network, bands=bands))
    is_base = options.network == Path(BASE)
    index, why = (None, "base comes without the music it has learned") if is_base else _index(folder)
    studio = Studio(
        heard,
        read_card(folder),
        plain.description,
        plain.tensors,
        Sampling(**trained.drawing),
        index,
        why,
        options.bits,
        sounds_of(font, plain.description) if font else None,
    )
    write("-o", output, lambda path: save_page(studio, path))


def _font(path: Path | None) -> SoundFont | None:
    """The font of that file, or for `default` the one that comes with the extra."""
    from noternn.music.soundfont import installed_font, read_font

    if path is None:
        return None
    if path != Path("default"):
        return read_font(path)
    require("sound", "--soundfont default")
    font = installed_font()
    if font is None:
        raise UserError(f"--soundfont default: the font is not there; {install('sound')}")
    return font


def _index(folder: Path) -> tuple[dict[str, Any] | None, str]:
    """The index of the training pieces for a page; else why there is none."""
    from noternn.audit.against import load, reference_of_run
    from noternn.pages.copies import plain_index

    try:
        index = plain_index(load(reference_of_run(folder)).index)
    except UserError as error:
        print(f"without what is copied: {error}", file=sys.stderr)
        return None, "they could not be read when this page was written"
    return index, "" if index else "there are too many of them for a page"
