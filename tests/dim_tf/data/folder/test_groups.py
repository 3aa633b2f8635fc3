"""Groups by folder, by a pattern on paths, and by pixels."""

import numpy as np
import pytest

from dim_tf.data import group_by
from dim_tf.data.folder import groups
from dim_tf.data.folder.groups import group_images
from dim_tf.data.folder.manifest import Manifest
from dim_tf.system.errors import InputError, RunError


def images(*names):
    """Images that have nothing in common."""
    manifest = Manifest.unscanned(list(names))
    rng = np.random.default_rng(0)
    for column in (manifest.pixel_digests, manifest.hashes, manifest.thumbnails):
        column[:] = rng.integers(0, 256, column.shape, np.uint8)
    return manifest


def copied(manifest, copy, of):
    """Makes one image nearly a copy of another."""
    manifest.hashes[copy] = manifest.hashes[of]
    manifest.thumbnails[copy] = np.clip(manifest.thumbnails[of], 1, 250)
    return manifest


def test_folders_and_patterns_make_groups():
    names = ["a/1.png", "a/2.png", "b/3.png", "ä/Zoë 4.png", "5.png"]
    by_folder = group_images("folder", images(*names))
    assert by_folder.numbers.tolist() == [0, 0, 1, 2, 3]
    by_pattern = group_images(r"^(a|b|ä)/", images(*names))
    assert by_pattern.numbers.tolist() == [0, 0, 1, 2, 3]
    assert (by_folder.unmatched, by_pattern.unmatched) == (0, 1)
    assert (by_folder.digests[0] == by_folder.digests[1]).all()
    assert (by_pattern.digests[4] == images(*names).pixel_digests[4]).all()


def test_a_group_by_name_has_its_digest_whatever_it_holds():
    first = group_images("(p[0-9]+)_", images("p1_a.png", "p2_a.png"))
    second = group_images("(p[0-9]+)_", images("p0_a.png", "p1_0.png", "p1_b.png", "p2_a.png"))
    assert (first.digests == second.digests[[1, 3]]).all()


def test_near_duplicates_are_grouped_and_counted():
    manifest = copied(images("b.png", "a10.png", "a9.png", "c.png"), 2, of=1)
    near = group_images("near_duplicates", manifest)
    assert near.numbers[1] == near.numbers[2]
    assert len(set(near.numbers)) == 3
    # The first by name decides, in the natural order.
    assert (near.digests[1] == manifest.pixel_digests[2]).all()
    none = group_images("none", manifest)
    assert len(set(none.numbers)) == 4
    is_test = np.array([True, False, True, False])
    assert groups.count_tests_near_training(none.near_duplicates, is_test) == 1
    assert groups.count_separated_pairs(near.numbers, is_test) == 1
    assert groups.describe_groups(near, manifest.names) == {
        "groups": 1,
        "grouped_images": 2,
        "largest_group": {"images": 2, "first": "a9.png"},
    }


def test_a_long_chain_of_images_that_are_alike_is_no_group_of_near_duplicates():
    """Each of 100 images is like the next, as clothes of one kind are; two are copies."""
    manifest = images(*(f"{number:03d}x.png" for number in range(400)))
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, manifest.thumbnails[0].shape).astype(float)
    for index in range(100):
        pixels += 12 * rng.normal(size=pixels.shape)
        manifest.hashes[index] = manifest.hashes[0]
        manifest.thumbnails[index] = np.clip(pixels, 0, 255)
    copied(manifest, 399, of=50)
    copied(manifest, 301, of=300)
    near = group_images("near_duplicates", manifest)
    assert near.sizes.max() <= groups.LARGEST_SMALL_SET
    assert near.numbers[399] == near.numbers[50]
    assert near.numbers[301] == near.numbers[300]
    assert "of the usual distance, since many images are alike" in near.kind
    usual = group_images("near_duplicates", manifest.select(np.arange(55, 400)))
    assert usual.kind == "of near duplicates"
    assert usual.sizes.max() == 46  # 55 to 99, and the copy of 50


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        (r"(cat\d+)", "matches none of the 2 paths, such as a1.png"),
        (r"(x*)", "matches with an empty first group all of the 2 paths"),
        (r"a1(_b)?", "matches with an empty first group all of the 2 paths"),
    ],
)
def test_a_pattern_that_groups_nothing_is_an_error(pattern, message):
    with pytest.raises(InputError) as caught:
        group_images(pattern, images("a1.png", "a12.png"))
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("text", ["(", "folders", r"video_\d+", "*"])
def test_what_is_no_pattern_with_a_group_is_refused(text):
    with pytest.raises(InputError, match="expected auto, none, folder, near_duplicates"):
        group_by.parse(text)


def test_a_pattern_that_takes_years_is_refused_after_a_time(monkeypatch):
    monkeypatch.setattr(group_by, "MATCHING_SECONDS", 0.3)
    with pytest.raises(InputError, match=r"--group_by=\(\(a\+\)\+\)b takes more than 0\.3 s for 2"):
        group_images("((a+)+)b", images("a" * 200 + ".png", "b.png"))


def test_a_path_that_is_not_utf_8_is_matched():
    assert group_by.first_groups("(.*)/", ["\udcff/a", "b/c\n", "d"]) == ["\udcff", "b", None]


def test_a_matching_process_that_dies_is_one_line(monkeypatch):
    monkeypatch.setattr(group_by, "_MATCH", "raise MemoryError")
    with pytest.raises(RunError, match=r"--group_by=\(a\) could not be matched \(MemoryError\)$"):
        group_by.first_groups("(a)", ["a"])


def test_one_folder_is_no_group():
    with pytest.raises(InputError, match="all are in one; leave --group_by out"):
        group_images("folder", images("a/1.png", "a/2.png"))
