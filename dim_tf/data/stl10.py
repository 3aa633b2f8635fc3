"""STL-10 (Coates et al. 2011), from TensorFlow Datasets: few labels, many images without."""

from dim_tf.data import Request, tfds_files
from dim_tf.data.crops import CentreCrops
from dim_tf.data.splits import Split, Splits
from dim_tf.system.errors import InputError

SIDE = 96


def load(request: Request) -> Splits:
    """STL-10: the encoder sees the 100,000 unlabelled images, the probes the 5,000 labelled ones.

    Images of `image_size` pixels are windows of the images' 96x96, as in the paper: the centre; in
    training with random crops, any window.

    Raises:
        InputError: the files are missing and could not be downloaded, or the size is too large.
    """
    size = request.image_size
    if size > SIDE:
        raise InputError(
            f"--image_size={size}; STL-10's images have {SIDE}x{SIDE} pixels, of which windows are "
            f"taken; give at most {SIDE}"
        )
    builder = tfds_files.prepare(tfds_files.find("stl10", request), request)
    whole = tfds_files.read(builder, "unlabelled", SIDE, None).images

    def labelled(split):
        wide = tfds_files.read(builder, split, SIDE, lambda example: example["label"])
        return Split(CentreCrops(wide.images, size)[:], wide.labels, surround=wide.images)

    return Splits(
        name="stl10",
        train=Split(CentreCrops(whole, size), None, surround=whole),
        test=labelled("test"),
        label_names=tuple(builder.info.features["label"].names),
        note=(
            "STL-10 as TensorFlow Datasets has it: the encoder is trained on the unlabelled "
            f"images, probes on the labelled training images; {size}x{size} windows of {SIDE}x"
            f"{SIDE} pixels, the centre where nothing is cropped at random."
        ),
        labelled=labelled("train"),
    )
