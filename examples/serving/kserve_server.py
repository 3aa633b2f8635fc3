"""Serves one version of an export with KServe's Python server.

    pip install '.[kserve]'
    python examples/serving/kserve_server.py --model_name=photos-classifier \
        --model_dir=exported/photos-classifier/1 --http_port=8501

It answers the REST requests of TensorFlow Serving, which rest_client.py sends, for an encoder or a
classifier: `signature_name` chooses a signature of the SavedModel, and an encoded image is
{"b64": "..."}. `--help` lists the server's own options too.
"""

import argparse
import base64
import re
from typing import Any

import kserve
import tensorflow as tf
from kserve.errors import InvalidInput


class SavedModel(kserve.Model):
    """A SavedModel that answers KServe's protocol V1."""

    def __init__(self, name: str, path: str):
        super().__init__(name)
        self.path = path

    def load(self) -> bool:
        """Loads the SavedModel, which makes the server ready."""
        self.saved_model = tf.saved_model.load(self.path)
        self.ready = True
        return self.ready

    def predict(self, payload: dict, headers=None, response_headers=None) -> dict[str, Any]:
        """The outputs of the signature for each instance.

        Raises:
            InvalidInput: The request has no instances, or there is no such signature, or it refuses
                them. The client gets status 400.
        """
        if not isinstance(payload, dict) or not isinstance(payload.get("instances"), list):
            raise InvalidInput('expected {"instances": [...]} with Content-Type: application/json')
        signatures = self.saved_model.signatures
        name = payload.get("signature_name", "serving_default")
        if not isinstance(name, str) or name not in signatures:
            raise InvalidInput(f"no signature {name!r}; expected one of {', '.join(signatures)}")
        ((key, spec),) = signatures[name].structured_input_signature[1].items()
        try:
            instances = [_decoded(instance) for instance in payload["instances"]]
            values = tf.constant(instances, spec.dtype)
            # A signature does not check it, and TensorFlow can abort the process for a wrong one.
            if not spec.shape.is_compatible_with(values.shape):
                raise ValueError(f"{key} of shape {values.shape}; expected {spec.shape}")
            outputs = signatures[name](**{key: values})
        except (tf.errors.InvalidArgumentError, TypeError, ValueError) as error:
            raise InvalidInput(_reason(error)) from error
        columns = {key: _json(value) for key, value in outputs.items()}
        if len(columns) == 1:  # TensorFlow Serving leaves out the name of the only output
            return {"predictions": next(iter(columns.values()))}
        rows = zip(*columns.values(), strict=True)
        return {"predictions": [dict(zip(columns, row, strict=True)) for row in rows]}


def _decoded(instance: Any) -> Any:
    """The bytes of {"b64": "..."}; anything else as it is.

    Raises:
        ValueError: An object has no "b64", or that is not base64.
    """
    if not isinstance(instance, dict):
        return instance
    if set(instance) != {"b64"}:
        raise ValueError(f'an instance has the keys {sorted(instance)}; expected {{"b64": "..."}}')
    return base64.b64decode(instance["b64"], validate=True)


def _reason(error: Exception) -> str:
    """The message, without the graph around a failed assertion of TensorFlow's."""
    text = str(error)
    asserted = re.search(r"assertion failed: (.*)", text)
    return re.sub(r"[\[\]]", "", asserted[1]) if asserted else text


def _json(value: tf.Tensor) -> list:
    """A tensor [N, ...] as JSON has it; texts are UTF-8."""
    if value.dtype == tf.string:
        return [text.decode() for text in value.numpy()]
    return value.numpy().tolist()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0], parents=[kserve.model_server.parser]
    )
    parser.add_argument("--model_dir", required=True, help="the export: exported/NAME/VERSION")
    arguments = parser.parse_args()
    model = SavedModel(arguments.model_name, arguments.model_dir)
    model.load()
    kserve.ModelServer(http_port=arguments.http_port, enable_grpc=False).start([model])


if __name__ == "__main__":
    main()
