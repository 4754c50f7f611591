"""Datasets of a user's own: which kind a file of settings describes, and what a file that is wrong lacks."""

from __future__ import annotations

from hydra._internal.core_plugins import file_config_source
from hydra._internal.sources_registry import SourcesRegistry
from hydra.plugins.config_source import ConfigResult
from omegaconf import DictConfig, OmegaConf

from noternn.config.checks import helps
from noternn.config.dataset import Dataset, FolderDataset, FramesDataset, InstalledDataset, UnionDataset
from noternn.config.schema import CONF_DIR
from noternn.errors import UserError

# A dataset is of the first kind of which it gives a setting.
KINDS: dict[type[Dataset], set[str]] = {
    FramesDataset: {"frames_per_beat", "voices", "origin"},
    UnionDataset: {"paths", "corpora"},
    InstalledDataset: {"corpus"},
}


class FileConfigSource(file_config_source.FileConfigSource):
    """Reads files of settings as Hydra does; `name` and `path` are enough for a dataset, without defaults.

    It is called as Hydra's own, which then does not refuse it in the processes of a sweep.
    """

    def load_config(self, config_path: str) -> ConfigResult:
        """Read a file; one in dataset/ that names no defaults gets the defaults of its kind.

        Raises:
            UserError: if a dataset's file holds no settings.
        """
        result = super().load_config(config_path)
        if not config_path.startswith("dataset/") or result.header["package"] is not None:
            return result
        if not isinstance(result.config, DictConfig):
            raise UserError(f"{config_path}.yaml: it must hold lines such as path: FOLDER")
        if "defaults" not in result.config:
            kind = kind_of(set(map(str, result.config)))
            defaults = {"defaults": [f"/schema/dataset/{kind.__name__}@_here_", "_self_"]}
            result.config = OmegaConf.merge(defaults, result.config)
        return result


def register() -> None:
    """Let Hydra read all files so, also in the other processes of a sweep."""
    SourcesRegistry.instance().types[FileConfigSource.scheme()] = FileConfigSource


def kind_of(settings: set[str]) -> type[Dataset]:
    """The kind of dataset that has these settings; a folder if no other has them."""
    return next((kind for kind, own in KINDS.items() if settings & own), FolderDataset)


def refuse_incomplete(composed: DictConfig) -> None:
    """Name the line that a user's own dataset lacks.

    Args:
        composed: all settings, with Hydra's.

    Raises:
        UserError: if a line is missing and the chosen dataset is not the package's.
    """
    option = composed.hydra.runtime.choices.get("dataset")
    kind = None if OmegaConf.is_missing(composed, "dataset") else OmegaConf.get_type(composed, "dataset")
    if kind is None or not issubclass(kind, Dataset) or (CONF_DIR / f"dataset/{option}.yaml").is_file():
        return
    for name, help_ in helps(kind).items():
        if OmegaConf.is_missing(composed.dataset, name):
            raise UserError(f"dataset/{option}.yaml: it lacks {name}: ... ({help_})")
