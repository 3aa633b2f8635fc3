"""Names of a data set's images in tables for people."""

from dim_tf.data.folder.images import FolderImages, ScaledImages
from dim_tf.data.splits import Images
from dim_tf.data.validation_split import ImageSubset


def image_ids(images: Images) -> list[str]:
    """An id for each image: for files their paths, with the folder's name if there are several.

    The id of an image of another data set is its index among these, from 0.

    Args:
        images: Images of a split.
    """
    if isinstance(images, ImageSubset):
        ids = image_ids(images.images)
        return [ids[index] for index in images.indices]
    if isinstance(images, ScaledImages):
        return image_ids(images.values)
    if isinstance(images, FolderImages):
        return list(images.names)
    return [str(number) for number in range(len(images))]
