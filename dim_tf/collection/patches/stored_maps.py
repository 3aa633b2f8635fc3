"""The local maps that --embed_feature=local wrote, as an array that stays in its files."""

from pathlib import Path

import numpy as np

from dim_tf.collection import embeddings
from dim_tf.export.local_maps import LOCAL
from dim_tf.system.errors import InputError


class StoredMaps:
    """Local maps, float16 [N, H, W, D], read file by file.

        maps = StoredMaps(Path("runs/photos/embeddings"))
        maps.ids[3], maps[3]         # of one image
        maps[100:200], maps[[7, 3]]  # of several
        maps.by_location[100:200]    # [100, H * W, D]

    Reading in the order of the images opens each file only once. Memory: one file, at most
    `embed.LOCAL_SHARD_BYTES`, and the ids.

    Args:
        folder: A folder that `embed` wrote.

    Attributes:
        ids: Ids of the images, in order.
        shape: N, H, W and D.

    Raises:
        InputError: The folder holds no local maps, or they are incomplete or damaged.
    """

    dtype = np.dtype(np.float16)
    ndim = 4

    def __init__(self, folder: Path):
        feature = embeddings.read_manifest(folder).get("feature")
        if feature not in (None, LOCAL):  # if there is none, there are no embeddings
            raise InputError(
                f"{folder} holds the feature {feature!r} of each image, and local maps are needed; "
                "embed the images into another --embed_output, with --embed_feature=local"
            )
        self.ids: list[str] = []
        self._paths: list[Path] = []
        ends, shapes = [], set()
        for path in embeddings.shard_paths(folder):
            ids, maps = embeddings.read_shard(path, dimensions=3)
            if ids:
                self.ids += ids
                self._paths.append(path)
                ends.append(len(self.ids))
                shapes.add(maps.shape[1:])
        if not self.ids:
            raise InputError(f"{folder} holds no local map: every image was refused")
        if len(shapes) > 1:
            raise InputError(
                f"the local maps in {folder} have the shapes {sorted(shapes)}; "
                f"{embeddings.EMBED_AGAIN}"
            )
        self._ends = np.array(ends)
        self.shape: tuple[int, int, int, int] = (len(self.ids), *shapes.pop())
        self._open: tuple[int, np.ndarray] = (-1, np.empty(0))  # number of a file, and its maps

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: int | slice | np.ndarray | list[int]) -> np.ndarray:
        numbers = np.arange(len(self))[rows]
        if np.ndim(numbers) == 0:
            return self[[int(numbers)]][0]
        maps = np.empty((len(numbers), *self.shape[1:]), self.dtype)
        files = np.searchsorted(self._ends, numbers, side="right")
        for file in np.unique(files):
            content = self._read(int(file))
            in_file = files == file
            maps[in_file] = content[numbers[in_file] - (self._ends[file] - len(content))]
        return maps

    def _read(self, file: int) -> np.ndarray:
        if self._open[0] != file:
            self._open = -1, np.empty(0)  # so that two are never in memory
            self._open = file, embeddings.read_shard(self._paths[file], dimensions=3)[1]
        return self._open[1]

    @property
    def by_location(self) -> "FlatMaps":
        """The same maps as [N, H * W, D]."""
        return FlatMaps(self)


class FlatMaps:
    """Local maps, float16 [N, L, D], with L locations row by row.

    Args:
        maps: The maps.
    """

    dtype = np.dtype(np.float16)
    ndim = 3

    def __init__(self, maps: StoredMaps):
        self._maps = maps
        images, height, width, size = maps.shape
        self.shape = images, height * width, size

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: int | slice | np.ndarray | list[int]) -> np.ndarray:
        maps = self._maps[rows]
        return maps.reshape(*maps.shape[:-3], *self.shape[1:])
