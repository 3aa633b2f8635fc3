"""What names each image of a data set in a table for people."""

from dim_tf.data.folder.images import FolderImages, ScaledImages
from dim_tf.data.splits import Images
from dim_tf.data.validation_split import ImageSubset


def image_ids(images: Images) -> list[str]:
    """An id of each image: of files their paths, with the folder's name where there are several.

    Images of other data sets have their number among these, from 0.

    Args:
        images: Of a split.
    """
    if isinstance(images, ImageSubset):
        ids = image_ids(images.images)
        return [ids[index] for index in images.indices]
    if isinstance(images, ScaledImages):
        return image_ids(images.values)
    if isinstance(images, FolderImages):
        return list(images.names)
    return [str(number) for number in range(len(images))]
