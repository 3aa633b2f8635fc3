"""Finds the images that are most similar to a query."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dim_tf.collection import embedded_folder, image_collection
from dim_tf.collection.patches.covered_part import box_in_part, covered_pixels
from dim_tf.collection.patches.patch_search import features_in_box, without_zeros
from dim_tf.collection.search import (
    QueryImage,
    QueryMatches,
    search_images,
    search_patches,
    write_results,
)
from dim_tf.collection.search_page import write_search_page
from dim_tf.collection.search_server import SearchServer, SearchService
from dim_tf.data.folder import decoding
from dim_tf.data.folder.image_folders import open_folders
from dim_tf.experiment import Experiment
from dim_tf.export import exported_encoder
from dim_tf.export.local_maps import LocalMaps
from dim_tf.settings.search import parse_address
from dim_tf.stages.encoder_path import encoder_path
from dim_tf.system.console import say
from dim_tf.system.files import make_folder


@dataclass(frozen=True)
class SearchResults:
    """The results of a search.

    Attributes:
        matches: The matches of each image of --query.
        service: Answers further queries in `serve`; None without --serve.
    """

    matches: list[QueryMatches]
    service: SearchService | None = None


def search(experiment: Experiment) -> SearchResults:
    """Finds the images of --data_dir that are most similar to those of --query.

    With --search_by=patch, finds the images that most likely show a detail of the query, and where.
    Writes results.csv and search.html into RUN_DIR/search.

    Raises:
        InputError: A query cannot be decoded, faiss-cpu is not installed, or a search by patch has
            no local maps.
        RunError: A file cannot be read or written.
    """
    if experiment.search.by == "patch":
        return SearchResults(_search_details(experiment))
    encoder = exported_encoder.load(encoder_path(experiment))
    images = embedded_folder.embed_folder(experiment, encoder.path)
    folder = experiment.run_path / "search"
    index = embedded_folder.open_index(images, experiment.run_path / "index")
    say(f"search: {index.description}")
    matches = []
    if experiment.search.query:
        make_folder(folder, "--run_dir")
        paths = image_collection.query_images(Path(experiment.search.query))
        features = encoder(paths)  # before previews, as it says which image cannot be decoded
        queries = [QueryImage(str(path), decoding.decode_preview(path)) for path in paths]
        matches = search_images(index, queries, features, experiment.search.k)
        description = f"{len(index):,} images of {experiment.data.data_dir}, by {encoder.path}"
        _write_matches(folder, matches, images.read_image, description)
    if not experiment.search.serve:
        return SearchResults(matches)
    service = SearchService(
        index,
        lambda content: encoder(content)[0],
        images.read_image,
        experiment.search.k,
        title=experiment.name,
    )
    return SearchResults(matches, service)


def serve(experiment: Experiment, service: SearchService) -> None:
    """Answers queries at the address of --serve until the process is stopped; writes no file.

    Raises:
        InputError: The address is in use, or does not belong to this machine.
    """
    server = SearchServer(parse_address(experiment.search.serve), service)
    say(f"search: {server.url} answers until Ctrl-C")
    try:
        server.serve_forever()
    finally:
        server.server_close()


def _search_details(experiment: Experiment) -> list[QueryMatches]:
    """`search` by the local maps of all images, which it writes like --embed_feature=local."""
    path = encoder_path(experiment)
    local_maps = LocalMaps(path)
    paths = image_collection.query_images(Path(experiment.search.query))
    details = [_detail(file, local_maps, experiment.search.box) for file in paths]
    images = embedded_folder.map_folder(
        experiment,
        open_folders(experiment.data.data_dir),
        path,
        local_maps.frame,
        experiment.collection.output,
    )
    maps = images.maps
    height, width = maps.shape[1:3]
    say(f"search: a detail among {len(maps):,} images of {height} x {width} locations")
    matches = search_patches(
        maps.by_location,
        (height, width),
        maps.ids,
        [query for query, _ in details],
        [patches for _, patches in details],
        experiment.search.k,
    )
    folder = experiment.run_path / "search"
    make_folder(folder, "--run_dir")
    description = f"{len(maps):,} images of {experiment.data.data_dir}, by {path}, by their details"
    _write_matches(folder, matches, images.read_image, description)
    return matches


def _detail(
    path: Path, local_maps: LocalMaps, box: tuple[int, ...]
) -> tuple[QueryImage, np.ndarray]:
    """A query as the page shows it, and the features of its patches, float16 [P, D].

    Raises:
        InputError: The image cannot be decoded, or the box is outside what the encoder sees of it.
    """
    local_map = local_maps.of_files([path])[0]
    if not box:
        seen = covered_pixels(decoding.decode_preview(path), local_maps.frame)
        patches = local_map.reshape(-1, local_map.shape[2])
        return QueryImage(str(path), seen), without_zeros(patches)
    top, left, rows, columns = box
    max_pixels = local_maps.options.max_pixels
    size = decoding.upright_size(path, max_pixels=max_pixels)
    inside, covered = box_in_part((top, left, rows, columns), local_maps.frame, *size)
    pixels = decoding.decode_preview(path, max_pixels=max_pixels, preview_pixels=max_pixels)
    shown = pixels[top : top + rows, left : left + columns]
    patches = features_in_box(local_map, inside, covered)
    return QueryImage(str(path), shown), without_zeros(patches)


def _write_matches(folder, matches, read_image, description):
    say(f"search: {write_results(folder, matches)}")
    say(f"search: {write_search_page(folder, matches, read_image, description)}")
