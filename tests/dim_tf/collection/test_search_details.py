"""--search_by=patch and --embed_feature=local: a detail in other images; local maps in files."""

import csv
import json

import numpy as np
import pytest
import small_export
from command_line import run_merged
from PIL import Image

import dim_tf
from dim_tf.collection.patches.stored_maps import StoredMaps
from dim_tf.export.local_maps import LocalMaps
from dim_tf.system.errors import InputError

pytestmark = pytest.mark.usefixtures("maps_loaded_once")
COUNT, WITH_DETAIL = 9, 6


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "1"
    small_export.save(path)
    return path


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Images of 24 x 16 pixels, of which the encoder sees rows 4 to 19; one has the query's detail.

    The detail is at the top left of the image and at the bottom right of the query.
    """
    root = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    images = rng.integers(90, 160, (COUNT + 1, 24, 16, 3), np.uint8)
    detail = rng.integers(0, 256, (8, 8, 3), np.uint8)
    images[WITH_DETAIL, 4:12, 0:8] = detail
    images[COUNT, 12:20, 8:16] = detail
    (root / "a").mkdir()
    for number, image in enumerate(images[:COUNT]):
        Image.fromarray(image).save(root / f"a/{number}.png")
    (root / "query").mkdir()
    Image.fromarray(images[COUNT]).save(root / "query/q.png")
    return root


def test_a_detail_is_found_where_it_is(photos, exported, tmp_path):
    (result,) = dim_tf.search(
        photos / "a",
        photos / "query/q.png",
        exported,
        out=tmp_path / "run",
        verbose=0,
        k=3,
        search_by="patch",
        query_box=(12, 8, 8, 8),
    )
    best = result.matches[0]
    assert best.id == f"{WITH_DETAIL}.png"
    assert max(best.location) < 2  # of 4 x 4 locations, those of the top left
    assert best.heat_map.shape == (4, 4)
    assert best.similarity > result.matches[1].similarity
    assert result.query.image.shape == (8, 8, 3)  # the detail is shown
    lines = list(csv.DictReader((tmp_path / "run/search/results.csv").open()))
    assert [line["id"] for line in lines] == [match.id for match in result.matches]
    assert int(lines[0]["location_row"]) == best.location.row
    page = (tmp_path / "run/search/search.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 4
    assert page.count("data:image/png;base64,") == 3  # heat maps


def test_the_command_searches_and_reads_what_embed_wrote(photos, exported, tmp_path, capsys):
    common = (
        f"--encoder_path={exported}",
        f"--run_dir={tmp_path / 'run'}",
        f"--embed_output={tmp_path / 'maps'}",
    )
    status, said = run_merged(
        capsys, "--mode=embed", "--embed_feature=local", f"--embed_input={photos / 'a'}", *common
    )
    assert status == 0, said
    assert "embed: local maps of 4 x 4 locations, 4 numbers each" in said
    maps = StoredMaps(tmp_path / "maps")
    file = photos / "a" / maps.ids[5]
    np.testing.assert_array_equal(maps[5], LocalMaps(exported).of_files([file])[0])
    status, said = run_merged(
        capsys,
        "--mode=search",
        "--search_by=patch",
        f"--data_dir={photos / 'a'}",
        f"--query={photos / 'query'}",
        "--k=2",
        *common,
    )
    assert status == 0, said
    assert f"search: a detail among {COUNT} images of 4 x 4 locations" in said
    assert not list((tmp_path / "run").glob("local-maps-*"))  # those of --embed_output were read
    lines = (tmp_path / "run/search/results.csv").read_text().splitlines()
    assert len(lines) == 3


def test_a_wrong_box_is_refused(photos, exported, tmp_path):
    def search(query_box, query="query/q.png"):
        return dim_tf.search(
            photos / "a",
            photos / query,
            exported,
            out=tmp_path / "run",
            verbose=0,
            search_by="patch",
            query_box=query_box,
        )

    with pytest.raises(InputError, match=r"20,0,8,4 .* is not in the image of 24 x 16 pixels"):
        search((20, 0, 8, 4))
    with pytest.raises(InputError, match=r"0,0,4,16 is in the part .* the encoder does not see"):
        search((0, 0, 4, 16))
    with pytest.raises(InputError, match="--query_box is a detail of one image, and --query"):
        search((0, 0, 4, 4), "query")
    with pytest.raises(InputError, match=r"--query_box=1,2,3; expected TOP,LEFT,HEIGHT,WIDTH"):
        search((1, 2, 3))
    assert not (tmp_path / "run").exists()


def test_an_export_without_local_maps_is_refused_before_any_work(
    photos, exported, tmp_path, capsys
):
    model = tmp_path / "1"
    (model / "assets").mkdir(parents=True)
    (model / "saved_model.pb").touch()
    signatures = {"endpoints": {"outputs": {"global": "float32 [N, 5]", "fc": "float32 [N, 8]"}}}
    (model / "assets/metadata.json").write_text(json.dumps({"signatures": signatures}))
    for flag, words in (
        ("--search_by=patch", ("--mode=search", f"--query={photos / 'query/q.png'}")),
        ("--embed_feature=local", ("--mode=embed", f"--embed_input={photos / 'a'}")),
    ):
        status, said = run_merged(
            capsys, *words, flag, f"--data_dir={photos / 'a'}", f"--encoder_path={model}"
        )
        assert status == 2
        assert f"{flag} needs local maps, and the model in {model} has the endpoints" in said
        assert "give an export of an encoder that has them" in said
