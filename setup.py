"""Packaging: the metadata. The build system and the tools' settings are in pyproject.toml."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent

# Read, not imported: the build's own environment has no TensorFlow and no path to the package.
VERSION = (HERE / "dim_tf/__init__.py").read_text(encoding="utf-8").split('__version__ = "')[1]
VERSION = VERSION.split('"')[0]

setup(
    name="dim_tf",
    version=VERSION,
    description="Deep InfoMax in TensorFlow and Keras: images in, a measured encoder out",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    author="The dim_tf authors",
    python_requires=">=3.11",
    packages=[
        *find_packages(include=["dim_tf", "dim_tf.*", "keras_models", "keras_models.*"]),
        "dim_tf.flagfiles",
    ],
    package_dir={"dim_tf.flagfiles": "flags"},  # found as --flagfile=flags/NAME.cfg
    package_data={
        "dim_tf.flagfiles": ["*.cfg"],
        "dim_tf.data.sources": ["checksums.tsv"],  # of the TFDS builder there
        "dim_tf.export.runtimes": ["*.js"],
        "dim_tf.evaluation.report": ["*.css", "*.js", "templates/*.html"],
    },
    # The folder that setuptools would use, "build", is the file BUILD where names ignore case.
    options={"build": {"build_base": ".build"}},
    install_requires=[
        "absl-py>=2.1",
        "ai-edge-litert>=2.0",  # runs the exported TFLite file, to compare it with the encoder
        "filelock>=3.30",  # FileLock(on_acquired=), lock_descriptor
        "importlib_resources>=6.0",  # tensorflow-datasets needs it and does not say so
        "imagehash>=4.3",  # finds near duplicates; 10 MB with PyWavelets, which it requires
        "jinja2>=3.1",  # the HTML pages
        "keras>=3.12",  # before, safe_mode could be passed by in a .keras file
        "markupsafe>=2.1",  # HTML that jinja2 does not escape again
        "numpy>=2.0",
        "pillow>=11.3",  # reads AVIF
        "pyarrow>=15.0",  # Parquet, the default format of embeddings; tensorflow-datasets needs it
        "requests>=2.31",
        "scikit-learn>=1.6",
        "scipy>=1.11",
        "tensorboard>=2.19",
        "tensorflow>=2.20",
        "tensorflow-datasets>=4.9.8",
        "tensorflow-probability>=0.25",
        "tensorflow-serving-api>=2.20",  # the warm-up requests of an export
        "tf-keras>=2.20",  # tensorflow-probability needs it
        "threadpoolctl>=3.1",  # scikit-learn needs it, too
        "tifffile>=2024.8",  # TIFFs of floats or many channels; 0.25 MB, needs NumPy alone
    ],
    extras_require={
        "test": [
            "faiss-cpu>=1.9",
            "hypothesis>=6.140",
            "ipykernel>=6.29",
            "matplotlib>=3.8",  # the examples' figures
            "minisom>=2.3.3",
            "mypy>=1.11",
            "nbclient>=0.10",
            "nbformat>=5.10",
            "pillow-heif>=1.0",
            "pytest>=8.0",
            "pytest-xdist>=3.6",
            "pyyaml>=6.0",
            "ruff>=0.9",
            "tensorflow-hub>=0.16.1",
        ],
        "hub": ["keras-hub>=0.32"],  # --encoder=keras_hub:PRESET
        "heif": ["pillow-heif>=1.0"],  # iPhones' images
        "classical": ["minisom>=2.3.3"],  # --model=som
        "search": ["faiss-cpu>=1.9"],  # dim_tf.Index: the neighbours of many features
        # --to of dim_tf.export.convert; TF.js' converter needs a Python of its own.
        "onnx": ["tf2onnx>=1.17", "onnx>=1.17", "onnxruntime>=1.20"],
        "openvino": ["openvino>=2025.0"],
        "kserve": ["kserve>=0.15"],  # the server of examples/serving
        "serving": ["grpcio>=1.60"],  # the gRPC client of examples/serving
        # google-crc32c: Beam reads and writes TFRecords by it and does not install it.
        "beam": ["apache-beam>=2.60", "google-crc32c>=1.5"],
        "dask": ["apache-beam[dask]>=2.77", "google-crc32c>=1.5"],  # older ones were not tried
        "wandb": ["wandb>=0.19.10"],  # --track=wandb; before, reinit="create_new" is unknown
        # --track=mlflow; the last two for its database in the run folder, without a server.
        "mlflow": ["mlflow-skinny>=3.0", "sqlalchemy>=2.0", "alembic>=1.10"],
        "docs": [  # the site: mkdocs build --strict
            "latex2mathml>=3.77",
            "mkdocs-material>=9.6",
            "mkdocstrings[python]>=1.0",
            "proselint>=0.16",
        ],
        "examples": ["matplotlib>=3.8"],
        "torch": ["torch>=2.6"],  # the baseline of benchmarks/train_speed.py
    },
    entry_points={"console_scripts": ["dim-tf=dim_tf.main:run"]},
    keywords=[
        "deep infomax",
        "self-supervised learning",
        "mutual information",
        "representation learning",
        "image embeddings",
        "tensorflow",
        "keras",
    ],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Scientific/Engineering :: Image Recognition",
    ],
)
