"""Files by name, in a folder or in a zip archive: the forms in which people have data sets."""

from collections.abc import Iterable
from pathlib import Path

import tensorflow as tf

from dim_tf.data import image_ops
from dim_tf.data.image_frame import ImageFrame
from dim_tf.data.sources.in_memory import collect
from dim_tf.data.splits import Images
from dim_tf.data.zip_archive import DamagedZipError, ZipArchive
from dim_tf.system.errors import InputError
from dim_tf.system.files import open_for_reading

# Bytes of one file: an archive may claim any size. The largest list, CelebA's attributes, has 27
# MB.
MAX_BYTES = 2**26


class FileTree:
    """The files of a folder or of a zip archive."""

    def __init__(self, path: Path):
        """Opens a folder or an archive.

        Args:
            path: A folder, or a file that ends in .zip.

        Raises:
            InputError: It is not a zip archive, or is broken.
        """
        self.path = path
        self._archive: ZipArchive | None = None
        if not path.is_dir():
            try:
                self._archive = ZipArchive(path)
            except DamagedZipError as error:
                raise InputError(f"{path} is no zip archive ({error}); get it anew") from error
            except OSError as error:
                raise InputError(
                    f"{path} cannot be read ({error.strerror or error}); mend its permissions"
                ) from error

    def names(self) -> list[str]:
        """All files, relative to the folder or the archive's root, sorted."""
        if self._archive:
            return sorted(self._archive.names())
        return sorted(
            file.relative_to(self.path).as_posix()
            for file in self.path.rglob("*")
            if file.is_file()
        )

    def read(self, name: str) -> bytes:
        """The bytes of a file.

        Raises:
            InputError: It is missing, broken or larger than `MAX_BYTES`.
        """
        try:
            if self._archive:
                data = self._archive.read(name, MAX_BYTES)
            else:
                with open_for_reading(self.path / name) as file:
                    data = file.read(MAX_BYTES + 1)
        except (KeyError, FileNotFoundError) as error:
            raise InputError(f"{self.path} has no file {name}") from error
        except DamagedZipError as error:
            raise InputError(f"{name} in {self.path} is broken ({error}); get it anew") from error
        except OSError as error:
            raise InputError(
                f"{name} in {self.path} cannot be read ({error.strerror}); mend its permissions"
            ) from error
        if len(data) > MAX_BYTES:
            raise InputError(f"{name} in {self.path} has more than {MAX_BYTES} bytes")
        return data

    def read_text(self, name: str) -> str:
        """The text of a file, in UTF-8.

        Raises:
            InputError: As for `read`; or it is not text.
        """
        try:
            return self.read(name).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise InputError(f"{name} in {self.path} is no text in UTF-8: {error}") from error

    def read_images(
        self, names: Iterable[str], height: int, width: int, frame: ImageFrame
    ) -> Images:
        """Reads JPEGs into memory, decoded and resized like those of TFDS.

        Args:
            names: The files, in the order of the images.
            height: Height that each must have, in pixels.
            width: Width that each must have, in pixels.
            frame: What an image becomes.

        Returns:
            uint8 [N, H, W, 3] in the frame's size.

        Raises:
            InputError: A file is missing, broken, not a JPEG or of another size.
        """
        names = list(names)
        started: list[str] = []
        failures: list[InputError] = []

        def read_all():
            for name in names:
                started.append(name)
                try:
                    yield self.read(name)
                except InputError as error:
                    failures.append(error)  # tf.data replaces the error
                    raise

        def decode(image):
            pixels = _decode(image, height, width)
            return (image_ops.to_uint8(image_ops.fit_image(pixels, frame)),)

        files = tf.data.Dataset.from_generator(
            read_all, output_signature=tf.TensorSpec([], tf.string)
        )
        try:
            parsed = files.map(decode, num_parallel_calls=tf.data.AUTOTUNE)
            return collect(parsed, len(names)).images
        except tf.errors.OpError:
            if failures:
                raise failures[0] from None
            # The error does not name the file, which is one of the last.
            for name in reversed(started):
                try:
                    _decode(self.read(name), height, width)
                except tf.errors.OpError as error:
                    reason = " ".join(error.message.split())[:120]
                    raise InputError(
                        f"{name} in {self.path} is no JPEG of {width}x{height} pixels ({reason}); "
                        "get it anew"
                    ) from error
            raise


def _decode(image, height, width):
    """A JPEG's pixels, uint8 [height, width, 3], by TFDS's decoder; its size is checked before."""
    size = tf.image.extract_jpeg_shape(image)[:2]
    check = tf.debugging.Assert(tf.reduce_all(size == [height, width]), ["height, width:", size])
    with tf.control_dependencies([check]):
        pixels = tf.io.decode_image(image, channels=3, expand_animations=False)
    return tf.ensure_shape(pixels, [height, width, 3])
