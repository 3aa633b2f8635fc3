"""Settings of the images."""

from dataclasses import dataclass

from dim_tf.data import DEFAULT_TEST_FRACTION, DataRequest, check_request
from dim_tf.data.image_bounds import MAX_PIXELS
from dim_tf.data.image_frame import FITS
from dim_tf.data.sources import check_name
from dim_tf.registry import AUGMENTATIONS, SOURCES
from dim_tf.settings.config_field import Settings, config_field


@dataclass(frozen=True)
class DataSettings(Settings):
    """Which images are read, and how they are prepared."""

    dataset: str = config_field(
        "digits",
        f"Data set: {', '.join(SOURCES)}; or tfds:NAME[/CONFIG][:VERSION], any of "
        "TensorFlow Datasets with images.",
        common=True,
    )
    data_dir: str = config_field(
        "",
        "Folder of your images, or several with commas; implies --dataset=folder. Or the folder of "
        "a data set's files; empty: where its library keeps them.",
        common=True,
        is_path=True,
        hyperparameter=False,
    )
    image_size: int | tuple[int, int] = config_field(
        0,
        "Pixels a side, or HEIGHT,WIDTH; 0: the data set's default.",
        common=True,
        minimum=0,
        maximum=4096,
    )
    download: bool = config_field(True, "Download missing data.", hyperparameter=False)
    cache_dir: str = config_field(
        "",
        "Folder for decoded images of --dataset=folder; empty: $XDG_CACHE_HOME/dim_tf or "
        "~/.cache/dim_tf.",
        is_path=True,
        hyperparameter=False,
    )
    cache_gib: float = config_field(
        20.0, "Largest size of the cache, in GiB; 0: no cache.", minimum=0, hyperparameter=False
    )
    max_unreadable_fraction: float = config_field(
        0.05,
        "Fraction of the image files that may be unreadable.",
        minimum=0,
        maximum=1,
        hyperparameter=False,
    )
    labels: str = config_field(
        "auto",
        "Labels of --dataset=folder: the path of a CSV file with a column of files and one or more "
        "of labels; folders, the first folder of each image; none; auto: folders, if all images "
        "are in folders that look like classes.",
        hyperparameter=False,  # the resulting labels are compared: images.txt
    )
    label_column: str = config_field(
        "",
        "Columns of the CSV file of --labels that are labels, with commas between; empty: all but "
        "those of files and splits.",
        hyperparameter=False,
    )
    split: str = config_field(
        "auto",
        "Training and test images of --dataset=folder: folders, those named train, test and the "
        "like; hash, by the hash of each image's pixels; auto: folders, if there are such.",
        choices=("auto", "folders", "hash"),
        hyperparameter=False,  # the resulting split is compared: data.json
    )
    group_by: str = config_field(
        "auto",
        "Images of --dataset=folder that stay on one side of the split: auto, near duplicates and "
        "numbered sequences that look alike; near_duplicates; folder, images of the same folder; "
        "none; or a regular expression on the path, whose first group names the group: "
        r"'(video_\d+)/'.",
        hyperparameter=False,  # the resulting split is compared: data.json
    )
    test_fraction: float = config_field(
        DEFAULT_TEST_FRACTION,
        "Fraction of the images of --dataset=folder that become test images when the split is by "
        "hash; 0: train on all images and measure nothing.",
        minimum=0,
        maximum=0.5,
        hyperparameter=False,  # the resulting split is compared: data.json
    )
    pixel_range: str = config_field(
        "auto",
        "Values of 16-bit images of --dataset=folder that become black and white: LOW,HIGH; "
        "dtype, the whole 16-bit range; auto, the range that the images use.",
        hyperparameter=False,  # the resulting range is compared: data.json
    )
    max_pixels: int = config_field(
        MAX_PIXELS,
        "Images with more pixels are refused in serving and in --dataset=folder; JPEG files in "
        "--dataset=folder are decoded at a reduced scale instead.",
        minimum=1,
        maximum=2**28,
        hyperparameter=False,
    )
    validation_fraction: float = config_field(
        0.0,
        "Fraction of the training images that is held out and measured instead of the test images, "
        "for choosing settings; 0: none.",
        minimum=0,
        maximum=0.9,
    )
    fit: str = config_field(
        "crop",
        "How images of another shape are fitted: crop, the largest centred part of that shape; "
        "pad, the whole image, with its edges repeated outwards; stretch, the whole image.",
        choices=FITS,
    )
    channels: str = config_field(
        "auto",
        "Channels of the images of --dataset=folder: 1, grey; 3, RGB; auto, 1 if all of them are "
        "stored in shades of grey, else 3.",
    )
    augmentation: str = config_field(
        "auto",
        "Random changes of images in training, by what they show: natural, document, aerial, "
        "microscopy, none; auto: natural for two views and --dataset=folder, else none.",
        details="docs/DATA.md lists the changes of each.",
        common=True,
        choices=("auto", *AUGMENTATIONS),
    )

    def check(self):
        """Checks the data set's name and that it has what the settings ask for."""
        check_name(self.dataset)
        check_request(self.dataset, self.request)

    @property
    def request(self) -> DataRequest:
        """Which images are loaded."""
        return DataRequest(
            self.data_dir,
            self.image_size,
            self.download,
            self.cache_dir,
            self.cache_gib,
            self.max_unreadable_fraction,
            self.labels,
            self.split,
            self.pixel_range,
            self.max_pixels,
            self.group_by,
            self.test_fraction,
            self.label_column,
            self.fit,
            self.channels,
        )
