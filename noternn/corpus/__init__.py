"""Find files, read them, say why one was dropped, group near-duplicates, split, tokenize, cache."""

from noternn.corpus.merging import Bpe
from noternn.corpus.pieces import Pieces
from noternn.corpus.reading import ReadingOptions, Skipped
from noternn.corpus.sources import Source, find_music_files, folder_sources, installed_sources
from noternn.corpus.splits import SPLITS, EncodedCorpus, encode_corpus, pieces_of
from noternn.corpus.tokenized import TokenizedCorpus, tokenize_corpus

__all__ = [
    "SPLITS",
    "Bpe",
    "EncodedCorpus",
    "Pieces",
    "ReadingOptions",
    "Skipped",
    "Source",
    "TokenizedCorpus",
    "encode_corpus",
    "find_music_files",
    "folder_sources",
    "installed_sources",
    "pieces_of",
    "tokenize_corpus",
]
