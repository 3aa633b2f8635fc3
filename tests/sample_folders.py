"""Folders of images as data sets: written, loaded, and what is reported of them."""

import json

from sample_images import save

from dim_tf import data


def loader(folder):
    """A function of settings that loads folder/images, with its cache in folder/cache."""

    def load(**settings):
        images, cache = str(folder / "images"), str(folder / "cache")
        return data.load("folder", data.DataRequest(data_dir=images, cache_dir=cache, **settings))

    return load


def classes_in(folder, where, first=0, count=20):
    """Writes images to a folder within `folder`, with numbers from `first` on."""
    for number in range(first, first + count):
        save(folder / where / f"{number:03d}.png", number)


def written_report(splits, folder):
    """data.json, after the report has been written to the folder."""
    folder.mkdir(exist_ok=True)
    splits.report.write(folder)
    return json.loads((folder / "data.json").read_text(encoding="utf-8"))


def listed_by_report(folder):
    """{path: reason} of bad_images.txt."""
    text = (folder / "bad_images.txt").read_text(encoding="utf-8")
    return dict(line.split("\t") for line in text.splitlines())
