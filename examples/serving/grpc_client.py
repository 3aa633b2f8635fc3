"""Sends image files to an encoder or classifier in TensorFlow Serving, over gRPC.

    pip install -e '.[serving]'
    python examples/serving/grpc_client.py --model=cifar10 cat.png dog.jpg

Flags, output and signatures are those of rest_client.py; --url is host:port. The connection is not
encrypted.
"""

import sys
from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
import rest_client
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

# gRPC would refuse to receive more than 4 MiB; a server may have a limit of its own.
NO_LIMIT = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


def prepare(
    url: str,
    model: str,
    images: list[Any],
    signature: str = "serving_bytes",
    version: int | None = None,
    timeout: float = 60,
) -> Callable[[], list[dict[str, Any]]]:
    """As `rest_client.prepare`, over gRPC: `url` is host:port, and all calls share a connection.

    The values of the outputs are NumPy arrays.
    """
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    if version is not None:
        request.model_spec.version.value = version
    encoded = signature in rest_client.ENCODED
    tensor = tf.make_tensor_proto(images if encoded else np.stack(images))
    request.inputs["image_bytes" if encoded else "images"].CopyFrom(tensor)
    stub = prediction_service_pb2_grpc.PredictionServiceStub(
        grpc.insecure_channel(url, options=NO_LIMIT)
    )

    def send():
        try:
            answer = stub.Predict(request, timeout=timeout)
        except grpc.RpcError as error:
            raise rest_client.RequestError(f"{error.code().name}: {error.details()}") from error
        return rows_of(answer)

    return send


def rows_of(answer: predict_pb2.PredictResponse) -> list[dict[str, Any]]:
    """{output's name: value} for each image; texts are decoded, as those of REST are."""
    outputs = {}
    for name, tensor in answer.outputs.items():
        array = tf.make_ndarray(tensor)
        outputs[name] = [text.decode() for text in array] if array.dtype == object else array
    return [dict(zip(outputs, row, strict=True)) for row in zip(*outputs.values(), strict=True)]


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    return rest_client.run(__doc__ or "", "localhost:8500", prepare, arguments)


if __name__ == "__main__":
    sys.exit(main())
