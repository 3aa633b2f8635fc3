"""STL-10 (Coates et al. 2011), from TensorFlow Datasets: few labels, many images without."""

from dim_tf.data import DataRequest
from dim_tf.data.crops import CenterCrops
from dim_tf.data.image_frame import ImageFrame
from dim_tf.data.sources import tfds_files
from dim_tf.data.splits import Split, Splits
from dim_tf.system.errors import InputError

SIDE = 96


def load(request: DataRequest) -> Splits:
    """STL-10: the encoder sees the 100,000 unlabelled images, the probes the 5,000 labelled ones.

    Images of `image_size` pixels are crops of the 96x96 images, as in the paper: the center, or in
    training with random crops, any crop. So there is nothing to fit.

    Raises:
        InputError: The files are missing and could not be downloaded, the size is too large, or the
            fit is not crop.
    """
    frame = request.frame
    if max(frame.height, frame.width) > SIDE:
        raise InputError(
            f"--image_size of {frame}; STL-10's images have {SIDE}x{SIDE} pixels, of which windows "
            f"are taken; give at most {SIDE}"
        )
    if frame.fit != "crop":
        raise InputError(
            f"--fit={frame.fit}; of STL-10's images windows are taken; leave --fit out"
        )
    size = frame.height, frame.width
    whole_frame = ImageFrame.of(SIDE)
    builder = tfds_files.prepared_builder("stl10", request)
    unlabelled = tfds_files.read_split(builder, "unlabelled", whole_frame, None).images

    def read_labelled(name):
        whole = tfds_files.read_split(builder, name, whole_frame, lambda example: example["label"])
        return Split(CenterCrops(whole.images, size)[:], whole.labels, uncropped=whole.images)

    return Splits(
        name="stl10",
        train=Split(CenterCrops(unlabelled, size), None, uncropped=unlabelled),
        test=read_labelled("test"),
        label_names=tuple(builder.info.features["label"].names),
        note=(
            "STL-10 as TensorFlow Datasets has it: the encoder is trained on the unlabelled "
            f"images, probes on the labelled training images; {frame} windows of {SIDE}x"
            f"{SIDE} pixels, the centre where nothing is cropped at random."
        ),
        labelled=read_labelled("train"),
    )
