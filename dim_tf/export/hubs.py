"""Writes a version of an export as model hubs take it, so that one of their commands uploads it.

    python -m dim_tf.export.hubs --owner=NAME exported/digits/2 upload

writes upload/huggingface, a folder for `hf upload`, whose README.md is the model card with Hugging
Face's front matter; and upload/kaggle, for `kaggle models create` and `kaggle models instances
create`: model-metadata.json and, in tensorFlow2/, the SavedModel with model-instance-metadata.json.
Nothing is sent: the commands are printed.

https://huggingface.co/docs/hub/model-cards
https://github.com/Kaggle/kaggle-api/blob/main/docs/models_metadata.md
"""

import argparse
import json
import os
import re
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dim_tf.export import verify
from dim_tf.export.whole_version import (
    CARD,
    CLASSIFIER,
    DETECTOR,
    ENCODER,
    WholeVersion,
    files_of,
    locked_targets,
)
from dim_tf.system import programs
from dim_tf.system.console import say
from dim_tf.system.errors import InputError
from dim_tf.system.files import atomic_replace_folder
from dim_tf.system.io_errors import translate_write_errors

KAGGLE_FRAMEWORK = "tensorFlow2"
KAGGLE_VARIATION = "default"
TAGS = ("tensorflow", "saved-model", "deep-infomax", "self-supervised-learning")
# Kaggle's names of licences, by SPDX identifier. Hugging Face's are those of SPDX in lower case.
KAGGLE_LICENSES = {
    "Apache-2.0": "Apache 2.0",
    "MIT": "MIT",
    "BSD-3-Clause": "BSD-3-Clause",
    "CC0-1.0": "CC0: Public Domain",
    "CC-BY-4.0": "Attribution 4.0 International (CC BY 4.0)",
    "CC-BY-SA-4.0": "CC BY-SA 4.0",
    "CC-BY-NC-4.0": "Attribution-NonCommercial 4.0 International (CC BY-NC 4.0)",
    "CC-BY-NC-SA-4.0": "CC BY-NC-SA 4.0",
    "CC-BY-ND-4.0": "Attribution-NoDerivatives 4.0 International (CC BY-ND 4.0)",
    "GPL-2.0-only": "GPL 2",
    "GPL-3.0-only": "GPL 3",
    "AGPL-3.0-only": "GNU Affero General Public License 3.0",
}
_OWNER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_MIN_TITLE, _MAX_TITLE, _MAX_SLUG = 5, 50, 50  # Kaggle's limits, in characters


@dataclass(frozen=True)
class Upload:
    """A version, and who uploads it.

    Attributes:
        version: The encoder or classifier.
        owner: The user or organisation on the hub.
    """

    version: WholeVersion
    owner: str

    @classmethod
    def read(cls, path: Path, owner: str) -> "Upload":
        """Reads a version.

        Raises:
            InputError: It is not a version, is damaged, or is a detector; its licence is not stated
                or has no name on Kaggle; or no owner is given.
        """
        if not _OWNER.fullmatch(owner):
            raise InputError(
                f"--owner={owner!r} is no name of a user or an organisation; give that of your "
                "account, such as --owner=ada"
            )
        version = WholeVersion.read(path)
        if version.kind == DETECTOR:
            raise InputError(f"{path} is a detector of anomalies; give an encoder or a classifier")
        license = version.metadata["license"]
        if license not in KAGGLE_LICENSES:
            stated = f"the licence {license!r}, which Kaggle does not have" if license else "none"
            raise InputError(
                f"{path} states {stated}; a hub needs one: export again with --license, of "
                f"{', '.join(KAGGLE_LICENSES)}"
            )
        return cls(version, owner)

    @property
    def metadata(self) -> dict[str, Any]:
        """The metadata of the version."""
        return self.version.metadata

    @property
    def name(self) -> str:
        """The name of the export."""
        return self.metadata["name"]

    @property
    def slug(self) -> str:
        """The name as used in addresses: lower case, digits and hyphens."""
        slug = re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")[:_MAX_SLUG].strip("-")
        return slug or "encoder"

    @property
    def summary(self) -> str:
        """One sentence that describes the model."""
        return f"Image {self.version.kind} trained with dim_tf, a TensorFlow SavedModel"


def front_matter(upload: Upload) -> str:
    """Hugging Face's front matter, YAML between lines of three hyphens."""
    of_kind = {CLASSIFIER: "image-classification", ENCODER: "image-feature-extraction"}
    fields = {
        "license": upload.metadata["license"].lower().removesuffix("-only"),
        "library_name": "dim_tf",
        "pipeline_tag": of_kind[upload.version.kind],
        "tags": list(TAGS),
    }
    # Every JSON string is also a YAML string.
    lines = [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in fields.items()]
    return "\n".join(["---", *lines, "---", ""])


def write_hugging_face(upload: Upload, folder: Path) -> None:
    """Writes a Hugging Face repository: the version's files, and the card with front matter."""
    _copy_files(upload.version.path, folder)
    text = front_matter(upload) + "\n" + upload.version.card
    (folder / CARD).write_text(text, encoding="utf-8")


def write_kaggle(upload: Upload, folder: Path) -> None:
    """Writes a Kaggle model and its variation for TensorFlow 2, with saved_model.pb on top."""
    title = upload.name[:_MAX_TITLE]
    model = {
        "ownerSlug": upload.owner,
        "title": title if len(title) >= _MIN_TITLE else f"{title} {upload.version.kind}",
        "slug": upload.slug,
        "subtitle": upload.summary,
        "isPrivate": True,
        "description": upload.version.card,
        "publishTime": "",
        "provenanceSources": upload.metadata["training_data"],
    }
    variation = {
        "ownerSlug": upload.owner,
        "modelSlug": upload.slug,
        "instanceSlug": KAGGLE_VARIATION,
        "framework": KAGGLE_FRAMEWORK,
        "overview": upload.summary,
        "usage": _KAGGLE_USAGE,
        "licenseName": KAGGLE_LICENSES[upload.metadata["license"]],
        "fineTunable": True,
        "trainingData": [text for text in [upload.metadata["training_data"]] if text],
        "modelInstanceType": "Unspecified",
        "baseModelInstance": "",
        "externalBaseModelUrl": "",
    }
    files = folder / KAGGLE_FRAMEWORK
    files.mkdir()
    _copy_files(upload.version.path, files)
    verify.write_sums(files)  # of what Kaggle's users get
    _write_json(folder / "model-metadata.json", model)
    _write_json(files / "model-instance-metadata.json", variation)


# ${PATH} is filled in by Kaggle: the folder of the files in a notebook.
_KAGGLE_USAGE = """\
```python
import tensorflow as tf

model = tf.saved_model.load("${PATH}")
```
"""


def _copy_files(version: Path, folder: Path) -> None:
    """Copies the files of a version, except hidden ones.

    Only their content is copied, not their rights: the card of a read-only version is rewritten.
    """
    for name, path in files_of(version):
        os.makedirs((folder / name).parent, exist_ok=True)
        shutil.copyfile(path, folder / name)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    path.write_text(text, encoding="utf-8")


def commands(upload: Upload, folder: Path) -> list[str]:
    """The hubs' commands that upload the content of a folder."""
    name = f"{upload.owner}/{upload.slug}"
    hugging_face, kaggle = folder / "huggingface", folder / "kaggle"
    variation = kaggle / KAGGLE_FRAMEWORK
    return [
        shlex.join(["hf", "upload", name, str(hugging_face), "."]),
        shlex.join(["kaggle", "models", "create", "-p", str(kaggle)])
        + " && "
        + shlex.join(
            ["kaggle", "models", "instances", "create", "-p", str(variation), "--dir-mode=tar"]
        ),
    ]


def write(upload: Upload, folder: Path) -> None:
    """Writes the files for both hubs; each folder appears whole, and replaces an earlier one.

    Args:
        upload: The version.
        folder: Gets the folders huggingface and kaggle.

    Raises:
        InputError: The folder cannot be created, is in use, or holds files that this did not write.
        RunError: The disk is full.
    """
    writers = {"huggingface": write_hugging_face, "kaggle": write_kaggle}
    with locked_targets(upload.version.path, folder, writers, "FOLDER") as targets:
        for target, write_one in zip(targets, writers.values(), strict=True):
            with (
                translate_write_errors(str(target), folder, "make room and run it again"),
                atomic_replace_folder(target) as staging,
            ):
                write_one(upload, staging)
                verify.write_sums(staging)


@programs.with_status
def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status: 0, 1 if the disk is full, 2 for wrong input."""
    parser = argparse.ArgumentParser(
        prog="python -m dim_tf.export.hubs",
        description="Writes an export as Hugging Face and Kaggle take it, and prints the commands "
        "that upload it.",
        allow_abbrev=False,
    )
    parser.add_argument("version", metavar="DIR", type=Path, help="as exported/digits/2")
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="gets huggingface/, kaggle/")
    parser.add_argument("--owner", required=True, help="user or organisation on the hub")
    values = parser.parse_args(arguments)
    upload = Upload.read(values.version, values.owner)
    write(upload, values.folder)
    for command in commands(upload, values.folder):
        say(command)
    return 0


if __name__ == "__main__":
    programs.run(main)
