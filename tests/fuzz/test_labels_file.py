"""Any file of labels: labels within their range, or an InputError of one line."""

from pathlib import Path

import fuzzing

from dim_tf.data.folder.image_folders import ImageFolders
from dim_tf.data.folder.labels_file import read_labels_file
from dim_tf.data.folder.matched_labels import match_labels
from dim_tf.system.errors import InputError, one_line

FOLDER = ImageFolders((Path("/x/photos"),), ("photos",))
NAMES = ["a/1.jpg", "b/2.png", "b/3.png", "4"]
GOOD = (
    "file,label,split\na/1.jpg,cat,train\n2,dog,test\n3.png,cat,\n4,dog,train\n",
    "path;hat;male\na/1.jpg;1;0\nb/2.png;yes;TRUE\n3;;\n",
    '\ufeffImage Index\tLabels\r\n1\t"Mass|Effusion"\r\n4\tNo Finding\r\n',
)


def outcome(path, content):
    path.write_bytes(content)
    try:
        file = read_labels_file(path)
        matched = match_labels(file, NAMES, FOLDER)
    except InputError as error:
        return "refused" if fuzzing.is_one_line(one_line(error)) else f"badly told: {error!r}"
    assert len(file.files) == len(file.lines) == len(file.labels)
    most = 2 if matched.labels.ndim == 2 else len(matched.names)
    assert matched.labels.min() >= -1
    assert matched.labels.max() < most
    return "read"


@fuzzing.sizes(10_000)
def test_any_file_of_labels(cases, tmp_path):
    path = tmp_path / "labels.csv"
    assert {outcome(path, text.encode()) for text in GOOD} == {"read"}
    changed = fuzzing.mutated_bytes([text.encode() for text in GOOD])
    fuzzing.run("file of labels", changed, lambda content: outcome(path, content), cases)
