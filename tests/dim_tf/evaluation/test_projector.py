"""Files of the embedding projector, read as TensorBoard's plug-in reads them."""

import numpy as np
import pytest
from google.protobuf import text_format
from PIL import Image
from sample_representations import evaluation_data, representation
from tensorboard.plugins.projector import projector_config_pb2

from dim_tf.evaluation import projector


@pytest.mark.parametrize("multi_label", [False, True])
def test_files(tmp_path, multi_label):
    data = evaluation_data(test=60, multi_label=multi_label)
    r = representation("random", data)
    folder = tmp_path / "tensorboard"
    projector.write(folder, r, max_images=50)

    text = (folder / "projector_config.pbtxt").read_text()
    config = text_format.Parse(text, projector_config_pb2.ProjectorConfig())
    (embedding,) = config.embeddings
    tensors = np.loadtxt(folder / embedding.tensor_path, delimiter="\t")
    np.testing.assert_allclose(tensors, r.test["global"][:50], rtol=1e-5)
    assert list(embedding.tensor_shape) == [50, 8]

    lines = (folder / embedding.metadata_path).read_text().splitlines()
    rows = [line.split("\t") for line in lines]
    assert rows[0] == ([*"abcd", "image"] if multi_label else ["label", "image"])
    assert len(rows) == 51
    labels = [row[:-1] for row in rows[1:]]
    if multi_label:
        np.testing.assert_array_equal(np.array(labels, int), data.test.labels[:50])
    else:
        assert labels == [[data.label_names[label]] for label in data.test.labels[:50]]

    width, height = embedding.sprite.single_image_dim
    sprite = np.asarray(Image.open(folder / embedding.sprite.image_path))
    assert sprite.shape == (8 * height, 8 * width, 3)
    for i in (0, 7, 8, 49):  # as the plug-in cuts it: row by row
        y, x = i // 8 * height, i % 8 * width
        np.testing.assert_array_equal(
            sprite[y : y + height, x : x + width, :1], data.test.images[i]
        )


def test_without_labels_rows_have_numbers_and_no_header(tmp_path):
    """The plug-in takes the first line of one column for an image's."""
    projector.write(tmp_path, representation("random", evaluation_data(test=4, labelled=False)))
    assert (tmp_path / "metadata.tsv").read_text().splitlines() == ["0", "1", "2", "3"]


def test_names_that_would_break_a_line(tmp_path):
    data = evaluation_data(test=4)
    object.__setattr__(data, "label_names", ("a\tb", "c\nd", "e", "f"))
    projector.write(tmp_path, representation("random", data))
    lines = (tmp_path / "metadata.tsv").read_text().splitlines()
    assert len(lines) == 5
    assert {line.count("\t") for line in lines} == {1}
