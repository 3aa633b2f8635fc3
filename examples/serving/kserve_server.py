"""Serves an export by KServe's Python server, with the REST requests of TensorFlow Serving.

    pip install kserve
    python examples/serving/kserve_server.py --model_name=photos-classifier \
        --model_dir=exported/photos-classifier/1 --http_port=8501

An encoder or a classifier: all signatures of the SavedModel, chosen by `signature_name`. Encoded
images are {"b64": "..."}, as rest_client.py sends them. `--help` lists the server's own options.
"""

import argparse
import base64
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
        """Loads it; the server answers from then on."""
        self.saved_model = tf.saved_model.load(self.path)
        self.ready = True
        return self.ready

    def predict(self, payload: dict, headers=None, response_headers=None) -> dict[str, Any]:
        """The outputs of the signature for each instance.

        Raises:
            InvalidInput: The request has no instances, there is no such signature, or it refuses
                them; status 400.
        """
        if not isinstance(payload, dict) or not isinstance(payload.get("instances"), list):
            raise InvalidInput('expected {"instances": [...]} with Content-Type: application/json')
        signatures = self.saved_model.signatures
        name = payload.get("signature_name", "serving_default")
        if name not in signatures:
            raise InvalidInput(f"no signature {name!r}; expected one of {', '.join(signatures)}")
        ((key, spec),) = signatures[name].structured_input_signature[1].items()
        instances = [
            base64.b64decode(row["b64"]) if isinstance(row, dict) else row
            for row in payload["instances"]
        ]
        try:
            outputs = signatures[name](**{key: tf.constant(instances, spec.dtype)})
        except (tf.errors.InvalidArgumentError, TypeError, ValueError) as error:
            raise InvalidInput(str(error)) from error
        columns = {key: _json(value) for key, value in outputs.items()}
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        if len(columns) == 1:  # TensorFlow Serving leaves out the name of an only output
            return {"predictions": next(iter(columns.values()))}
        return {"predictions": rows}


def _json(value: tf.Tensor) -> list:
    array = value.numpy()
    return array.astype(str).tolist() if value.dtype == tf.string else array.tolist()


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
