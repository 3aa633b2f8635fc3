"""The Python API: dim_tf.train, load and embed, and README's example of them."""

import json
import re
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import PIL.Image
import pytest
import small_export
import tensorflow as tf

import dim_tf
from dim_tf.data import encoded_images
from dim_tf.data.image_frame import ImageFrame
from dim_tf.data.pixel_range import PixelRange
from dim_tf.run import Run

ROOT = Path(dim_tf.__file__).parents[1]
SMALL = {"batch_size": 16, "critic_units": 8, "latent_dim": 4, "epochs": 1, "steps": 2}
SMALL |= {"image_size": 16}


def test_importing_the_package_imports_no_tensorflow_and_lists_its_names():
    code = (
        "import sys, dim_tf\n"
        "assert {'train', 'Run', 'load', 'embed', 'InputError', 'RunError'} <= set(dir(dim_tf))\n"
        "assert issubclass(dim_tf.InputError, Exception)\n"
        "assert not {'tensorflow', 'keras', 'numpy', 'PIL'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="has no attribute 'trian'"):
        _ = dim_tf.trian
    assert all(getattr(dim_tf, name) for name in dim_tf.__all__)


@pytest.fixture
def experiments(monkeypatch, tmp_path):
    """The experiments of calls of dim_tf.train, which do not train; in an empty folder."""
    monkeypatch.chdir(tmp_path)
    experiments = []
    monkeypatch.setattr(Run, "train", lambda run, callbacks: experiments.append(run.experiment))
    return experiments


def test_images_are_a_folder_or_a_data_set(experiments, tmp_path, capsys):
    (tmp_path / "photos").mkdir()
    (tmp_path / "digits").mkdir()
    for images in ("photos", "photos/", tmp_path / "photos", "elsewhere/", "./digits", "digits"):
        dim_tf.train(images, verbose=0)
        data = experiments.pop().data
        assert (data.dataset, data.data_dir) == ("folder", str(images))
    for name in ("cifar10", "tfds:svhn_cropped", "tfds:a/b"):
        dim_tf.train(name, data_dir="here")
        data = experiments.pop().data
        assert (data.dataset, data.data_dir) == (name, "here")
    assert capsys.readouterr().out == ""
    dim_tf.train("digits")
    assert capsys.readouterr().out == "digits is the folder here, not the data set of that name\n"


def test_a_list_of_folders_is_one_data_set(experiments, tmp_path):
    for name in ("photos", "scans", "a,b", "a", "b"):
        (tmp_path / name).mkdir()
    dim_tf.train([tmp_path / "photos", "scans"], verbose=0)
    experiment = experiments.pop()
    assert (experiment.data.dataset, experiment.name) == ("folder", "photos-scans")
    assert experiment.data.data_dir == f"{tmp_path / 'photos'},scans"
    dim_tf.train(["a,b", "scans"], verbose=0)
    assert experiments.pop().data.data_dir == "a,b,scans"
    with pytest.raises(dim_tf.InputError, match=r"\['a', 'b'\]: the commas .*rename the folders"):
        dim_tf.train(["a", "b"])


def test_settings_have_the_names_of_their_flags(experiments, tmp_path):
    (tmp_path / "photos").mkdir()
    run = dim_tf.train(
        "photos/",
        encoder=Path("mine.keras"),
        measures=["knn", "svm"],
        model="simclr",
        **{"simclr.temperature": 0.2},
    )
    experiment = experiments[0]
    assert (run.path, experiment.name) == (Path("runs/photos"), "photos")
    assert experiment.encoder.name == "mine.keras"
    assert experiment.evaluation.measures == "knn,svm"
    assert experiment.model.temperature == 0.2
    assert dim_tf.train("photos/", out=tmp_path / "r", name="b").path == tmp_path / "r"


def test_numpy_scalars_are_the_python_numbers_of_their_value(experiments):
    settings = {"batch_size": np.int64(32), "learning_rate": np.float32(0.1)}
    settings |= {"resume": np.bool_(False), "image_size": (np.int16(96), np.uint64(160))}
    settings |= {"channels": np.int8(1)}
    dim_tf.train("photos/", **settings)
    training, data = experiments[0].training, experiments[0].data
    assert (training.batch_size, training.resume) == (32, False)
    assert training.learning_rate == 0.10000000149011612
    assert (data.channels, data.image_size) == ("1", (96, 160))
    values = [training.batch_size, training.learning_rate, training.resume, *data.image_size]
    assert [type(value) for value in values] == [int, float, bool, int, int]


@pytest.mark.parametrize(
    ("images", "settings", "message"),
    [
        ("digitz", {}, "did you mean digits"),
        ("", {}, "^images=''; expected a folder of images"),
        ([], {}, r"^images=\[\]; expected a folder of images"),
        (None, {}, "^images=None; expected a folder of images"),
        (3, {}, "^images=3; expected a folder of images"),
        (b"photos", {}, "^images=b'photos'; expected a folder of images"),
        ("photos/", {"data_dir": "other"}, "give the folders by images"),
        (["a", "b"], {"data_dir": "other"}, "data_dir=other, and images=a,b; give the folders"),
        ("digits", {"dataset": "cifar10"}, "dataset is given by images, encoder and out"),
        ("digits", {"nope": 1}, "there is no setting 'nope'"),
        ("digits", {"batch_size": "many"}, "expected a whole number"),
        ("digits", {"batch_size": np.float32(32)}, "--batch_size=32.0; expected a whole number"),
        ("digits", {"learning_rate": np.longdouble(0.1)}, "expected a number"),
        ("digits", {"simclr.temperature": 0.2}, "is a setting of --model=simclr, not of dim"),
    ],
)
def test_wrong_arguments_are_input_errors(experiments, images, settings, message):
    with pytest.raises(dim_tf.InputError, match=message):
        dim_tf.train(images, **settings)


def test_missing_images_are_an_input_error(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(dim_tf.InputError, match="nowhere cannot be read"):
        dim_tf.train("nowhere/")
    assert not (tmp_path / "runs").exists()


def losses(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        del line["images_per_second"]
    return lines


def test_a_second_training_in_a_process_has_the_same_losses(tmp_path):
    for name in ("a", "b"):
        dim_tf.train("digits", out=tmp_path / name, verbose=0, **SMALL)
        np.random.rand()  # what happens between is no matter
    assert len(losses(tmp_path / "a")) == 2
    assert losses(tmp_path / "a") == losses(tmp_path / "b")


@pytest.mark.slow
def test_a_training_in_a_new_process_has_the_same_losses(tmp_path):
    for name in ("a", "b"):
        dim_tf.train("digits", out=tmp_path / name, verbose=0, precision="bfloat16", **SMALL)
    code = f"import dim_tf; dim_tf.train('digits', out={str(tmp_path / 'new')!r}, verbose=0, "
    settings = ", ".join(f"{name}={value!r}" for name, value in SMALL.items())
    subprocess.run(
        [sys.executable, "-c", f"{code}precision='bfloat16', {settings})"], check=True, cwd=ROOT
    )
    assert losses(tmp_path / "b") == losses(tmp_path / "new")


# load


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "1"
    small_export.save(path, pixel_range=PixelRange(0, 1023))
    metadata = path / "assets" / "metadata.json"
    metadata.write_text(json.dumps({"pixel_range": [0, 1023], "max_pixels": 10_000}))
    return dim_tf.load(path)


def test_an_encoder_takes_images_of_its_size_of_every_kind(encoder):
    pixels = small_export.images(70)  # more than a batch
    expected = tf.saved_model.load(str(encoder.path))(tf.constant(pixels)).numpy()
    as_bytes = np.round(pixels * 255).astype(np.uint8)
    assert (encoder.image_size, encoder.dimension) == (8, 5)
    for images in (
        pixels,
        pixels.astype(np.float64),
        tf.constant(pixels),
        as_bytes,
        tf.constant(as_bytes),
        list(as_bytes),
        tuple(PIL.Image.fromarray(image) for image in as_bytes),
    ):
        features = encoder(images)
        assert (features.shape, features.dtype) == ((70, 5), np.float32)
        np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(encoder(pixels[0]), expected[:1], rtol=1e-4, atol=1e-5)


@pytest.fixture
def large(tmp_path):
    """uint8 [30, 50, 3] and the paths of its files."""
    image = np.random.default_rng(0).integers(0, 256, (30, 50, 3), np.uint8)
    paths = [tmp_path / f"a.{suffix}" for suffix in ("png", "bmp", "tif")]
    for path in paths:
        PIL.Image.fromarray(image).save(path)
    return image, paths


def test_images_of_other_sizes_are_resized_as_in_serving(encoder, large):
    image, paths = large
    pixels = encoded_images.decode_to_size(tf.io.read_file(str(paths[0])), ImageFrame.of(8)).numpy()
    expected = encoder(pixels)
    mixed = [image, str(paths[0]), PIL.Image.fromarray(image), *paths, paths[0].read_bytes()]
    np.testing.assert_allclose(encoder(mixed), np.repeat(expected, 7, 0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(encoder(image / 255), expected, atol=0.02)  # not rounded to bytes
    np.testing.assert_array_equal(encoder(image[np.newaxis]), encoder(image))


def test_gray_and_deep_images_and_turned_photos(encoder, tmp_path):
    gray = np.random.default_rng(0).integers(0, 256, (8, 8), np.uint8)
    expected = encoder(np.repeat(gray[..., None], 3, -1))
    ten_bits = (gray.astype(int) * 1023 + 254) // 255  # as the encoder was trained on
    deep = ten_bits.astype(np.uint16)
    for image in (gray, gray[..., None], PIL.Image.fromarray(gray), deep, gray / 255.0):
        np.testing.assert_allclose(encoder(image), expected, rtol=1e-3, atol=1e-4)
    turned = PIL.Image.fromarray(np.rot90(gray))
    exif = turned.getexif()
    exif[0x0112] = 6  # to be turned clockwise
    turned.save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_allclose(encoder(tmp_path / "turned.png"), expected, rtol=1e-3, atol=1e-4)
    opened = PIL.Image.open(tmp_path / "turned.png")
    np.testing.assert_allclose(encoder(opened), expected, rtol=1e-3, atol=1e-4)


def test_no_images_have_no_features(encoder):
    assert encoder([]).shape == (0, 5)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.full([8, 8, 3], 2.0), r"values from 2 to 2; expected uint8, uint16, or floats in \[0,"),
        (np.full([8, 8, 3], np.nan), "values from nan to nan"),
        (np.zeros([8, 8, 3], np.int64), "an image has the type int64"),
        (np.zeros([8, 8, 2], np.uint8), r"the shape \[8, 8, 2\]"),
        (np.zeros([0, 8, 3], np.uint8), r"the shape \[0, 8, 3\]"),
        ([["a"]], "list is no image"),
        ([[1, 2]], r"the shape \[2\]"),
        (None, "NoneType is no image"),
        ("no/such.png", "no/such.png cannot be read"),
        ("a\0.png", r"'a\\x00\.png' cannot be read \(embedded null byte\)"),
        (str(ROOT / "setup.py"), "setup.py cannot be decoded"),
        (str(ROOT), "is a folder; dim_tf.embed embeds"),
        (b"nothing", "an image cannot be decoded"),
    ],
)
def test_input_that_is_no_image_is_an_input_error(encoder, images, message):
    with pytest.raises(dim_tf.InputError, match=message):
        encoder(images)


def test_the_broken_one_of_several_files_is_named(encoder, large, tmp_path):
    _, paths = large
    (tmp_path / "broken.png").write_bytes(paths[0].read_bytes()[:200])
    with pytest.raises(dim_tf.InputError, match=r"broken\.png cannot be decoded"):
        encoder([paths[0], tmp_path / "broken.png"])


def test_a_folder_without_an_export_cannot_be_loaded(tmp_path):
    with pytest.raises(dim_tf.InputError, match="cannot be loaded"):
        dim_tf.load(tmp_path)


def test_a_collection_is_embedded_by_an_export(encoder, large, tmp_path, capsys):
    _, paths = large
    output = dim_tf.embed(
        tmp_path, tmp_path / "out", encoder.path, verbose=0, embed_format="tfrecord"
    )
    assert output == tmp_path / "out"
    assert json.loads((output / "embeddings.json").read_text())["images"] == len(paths)
    assert capsys.readouterr().out == ""
    with pytest.raises(dim_tf.InputError, match="is no exported encoder"):
        dim_tf.embed(tmp_path, tmp_path / "b", tmp_path)


# The pages


def blocks(page):
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)


def test_the_page_lists_every_name():
    text = (ROOT / "docs/API.md").read_text(encoding="utf-8")
    for name in dim_tf.__all__:
        assert f"`{name}`" in text or f"`dim_tf.{name}" in text, name
    for name in (name for name in vars(Run) if not name.startswith("_")):
        assert re.search(rf"`([\w`, ]*, )?{name}[(`,]", text) or name in ("locked", "load"), name


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """The working folder, with 40 images in photos/."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    rng = np.random.default_rng(0)
    for name in ("a", *range(39)):
        pixels = rng.integers(0, 256, (32, 32, 3), np.uint8)
        PIL.Image.fromarray(pixels).save(tmp_path / f"photos/{name}.jpg")
    return tmp_path


@pytest.mark.slow
def test_the_examples_of_the_reference(photos):
    names = {"dim_tf": dim_tf, "keras": keras}
    example, _, callbacks = blocks("docs/API.md")  # test_finetune_stage runs the second
    exec(example, names)
    exec(callbacks, names)
    feature = names["evaluation"]["feature"]
    assert names["features"].shape == (1, feature["dimensions"][feature["name"]])
    assert (photos / "log.csv").is_file()


@pytest.mark.slow
def test_the_example_of_readme(photos):
    """With a small encoder, fewer steps and no TFLite."""
    (example,) = [block for block in blocks("README.md") if "dim_tf.train(" in block]
    for words, fewer in (
        ('encoder="keras:MobileNetV3Small"', 'encoder="basic32x32", critic_units=8'),
        ("epochs=20", "epochs=4, batch_size=8, image_size=32"),
        ("run.export()", 'run.export(tflite="none")'),
    ):
        assert words in example, words
        example = example.replace(words, fewer)
    names = {}
    exec(example, names)
    assert names["features"].shape == (1, 64)
    assert names["evaluation"]["references"]
    assert (photos / "runs/mobilenet/report.html").is_file()
