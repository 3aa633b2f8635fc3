"""STL-10 (Coates et al. 2011), from TensorFlow Datasets: few labels, many images without."""

from dim_tf.data import DataRequest
from dim_tf.data.crops import CenterCrops
from dim_tf.data.sources import tfds_files
from dim_tf.data.splits import Split, Splits
from dim_tf.system.errors import InputError

SIDE = 96


def load(request: DataRequest) -> Splits:
    """STL-10: the encoder sees the 100,000 unlabelled images, the probes the 5,000 labelled ones.

    Images of `image_size` pixels are crops of the images' 96x96, as in the paper: the center; in
    training with random crops, any crop.

    Raises:
        InputError: the files are missing and could not be downloaded, or the size is too large.
    """
    size = request.image_size
    if size > SIDE:
        raise InputError(
            f"--image_size={size}; STL-10's images have {SIDE}x{SIDE} pixels, of which windows are "
            f"taken; give at most {SIDE}"
        )
    builder = tfds_files.prepared_builder("stl10", request)
    unlabelled = tfds_files.read_split(builder, "unlabelled", SIDE, None).images

    def read_labelled(name):
        whole = tfds_files.read_split(builder, name, SIDE, lambda example: example["label"])
        return Split(CenterCrops(whole.images, size)[:], whole.labels, uncropped=whole.images)

    return Splits(
        name="stl10",
        train=Split(CenterCrops(unlabelled, size), None, uncropped=unlabelled),
        test=read_labelled("test"),
        label_names=tuple(builder.info.features["label"].names),
        note=(
            "STL-10 as TensorFlow Datasets has it: the encoder is trained on the unlabelled "
            f"images, probes on the labelled training images; {size}x{size} windows of {SIDE}x"
            f"{SIDE} pixels, the centre where nothing is cropped at random."
        ),
        labelled=read_labelled("train"),
    )
