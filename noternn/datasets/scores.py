"""The scores in music21's wheel, found without importing it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path

from noternn.errors import UserError

# The movements of larger works in the Riemenschneider edition of Bach's chorales, by their numbers in the
# Bach-Werke-Verzeichnis; beside them it holds all of BWV 250 to 438, which are chorales alone.
# Source: the table in music21.corpus.chorales. Several of the edition's 371 numbers share a file. Two have no
# file under their own number: BWV 18.5-l, and 69.6, whose file is the whole orchestra.
CHORALES_OF_WORKS = """
10.7 101.7 102.7 103.6 104.6 108.6 11.6 110.7 112.5 113.8 114.7 115.6 117.4 121.6 122.6 123.6 126.6
127.5 13.6 133.6 136.6 14.5 140.7 144.3 144.6 145-a 145.5 148.6 151.5 153.1 153.5 153.9 154.3 154.8
155.5 156.6 159.5 16.6 161.6 164.6 166.6 168.6 169.7 17.7 172.6 174.5 176.6 177.4 177.5 179.6 18.5-w
180.7 183.5 184.5 187.7 19.7 190.7 194.12 194.6 197.10 197.5 2.6 20.11 226.2 227.11 227.7 24.6 244.10
244.15 244.25 244.3 244.32 244.37 244.40 244.44 244.46 244.54 244.62 245.11 245.14 245.15 245.17 245.22
245.26 245.28 245.3 245.37 245.40 248.12-2 248.23-2 248.33-3 248.35-3 248.42-4 248.46-5 248.5 248.53-5
248.59-6 248.9-1 25.6 26.6 27.6 28.6 29.8 3.6 30.6 32.6 33.6 36.4-2 36.8-2 37.6 38.6 39.7 4.8 40.3 40.6
40.8 41.6 42.7 43.11 44.7 45.7 46.6 47.5 48.3 48.7 5.7 55.5 56.5 57.8 6.6 60.5 62.6 64.2 64.4 64.8 65.2
65.7 67.7 69.6-a 70.11 73.5 74.8 77.6 78.7 8.6 80.8 81.7 83.5 84.5 85.6 86.6 87.7 88.7 89.6 9.7 90.5
91.6 94.8 96.6
"""
CHORALES_ALONE = range(250, 439)
# Whatever states no rights in the file, or gives them away; not what a publisher or an encoder reserves, nor
# CC BY-SA. Beside some quartets lies the same movement in another format.
CLASSICAL = (
    "beethoven/**/*.mxl",
    "chopin/mazurka06-2.krn",
    "corelli/opus3no1/1grave.xml",
    "cpebach/h186.mxl",
    "handel/rinaldo/Lascia_chio_pianga.mxl",
    "haydn/**/*.mxl",
    "mozart/**/*.mxl",
    "schumann_robert/**/*.mxl",
    "verdi/laDonnaEMobile.mxl",
    "weber/concertino_clarinet.mxl",
)


def embedded_scores(corpus: str) -> dict[str, Path]:
    """The files of an embedded corpus by the names of their pieces, sorted; none is opened.

    Args:
        corpus: "bach": the chorales. "classical": string quartets by Mozart, Haydn, Beethoven and Schumann
            and single pieces by others, a movement or a whole work a file. "fiddle": Ryan's Mammoth
            Collection of fiddle tunes (Boston 1883), a tune a file. "airs": James Aird's Airs (Glasgow 1778
            to 1801), a volume a file. "oneill": O'Neill's Music of Ireland (Chicago 1903), up to 100 of its
            1,850 tunes a file.

    Raises:
        KeyError: for any other.
    """
    root = scores_folder()
    find: dict[str, Callable[[], Iterable[Path]]] = {
        "airs": lambda: (root / "airdsAirs").glob("*.abc"),
        "bach": chorale_paths,
        "classical": lambda: (path for pattern in CLASSICAL for path in root.glob(pattern)),
        "fiddle": lambda: (root / "ryansMammoth").glob("*.abc"),
        "oneill": lambda: (root / "oneills1850").glob("*.abc"),
    }
    shown_from = {"classical": root}  # a movement's name says little without its folder
    paths = sorted(find[corpus]())
    return {p.relative_to(shown_from.get(corpus, p.parent)).with_suffix("").as_posix(): p for p in paths}


def chorale_paths() -> list[Path]:
    """The 348 files of the Riemenschneider edition of Bach's chorales, sorted."""
    folder = scores_folder() / "bach"
    return sorted(folder / f"bwv{number}.mxl" for number in (*CHORALES_OF_WORKS.split(), *CHORALES_ALONE))


def scores_folder() -> Path:
    """Where music21 keeps its scores.

    Raises:
        UserError: if it is not installed.
    """
    found = find_spec("music21")
    if found is None or not found.submodule_search_locations:
        raise UserError("these scores come with music21, which is not installed; pip install music21")
    return Path(found.submodule_search_locations[0], "corpus")
