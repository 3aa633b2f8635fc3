# syntax=docker/dockerfile:1
# CPU:  docker build -t dim-tf .
# GPU:  docker build -t dim-tf:gpu --build-arg TENSORFLOW='tensorflow[and-cuda]' .
#
#   docker run --rm -v "$PWD":/data dim-tf --mode=train,evaluate,export \
#       --dataset=folder --data_dir=photos
#
# /data must be writable for the user 1000, or give --user "$(id -u):$(id -g)"; with a GPU, --gpus=all.
FROM python:3.12-slim-bookworm

# The whole requirement, so that a release can be pinned, as 'tensorflow==2.21.*'.
ARG TENSORFLOW="tensorflow>=2.20"

WORKDIR /src
COPY LICENSE README.md pyproject.toml setup.py ./
COPY dim_tf/ dim_tf/
COPY keras_models/ keras_models/
COPY flags/ flags/
RUN pip install --no-cache-dir "${TENSORFLOW}" .

RUN useradd --uid 1000 --create-home dim && install -d -o dim /data
# Any user of --user has a cache for decoded images and TensorFlow Datasets' files.
ENV XDG_CACHE_HOME=/tmp/cache TFDS_DATA_DIR=/data/tfds
USER 1000
WORKDIR /data
ENTRYPOINT ["dim-tf"]
CMD ["--help"]
