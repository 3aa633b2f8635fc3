"""Servers of an export that stand in for TensorFlow Serving.

gRPC has the real service definition; REST is as the documentation describes it.
"""

import base64
import contextlib
import json
import re
import threading
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2
from tensorflow_serving.apis import prediction_service_pb2_grpc as service_pb2


class RequestError(Exception):
    """A request that TensorFlow Serving would refuse: status, message."""


class Servable:
    """Finds signatures and calls them, with the messages of TensorFlow Serving where known."""

    def __init__(self, path, model, version):
        self.loaded = tf.saved_model.load(str(path))
        self.name, self.served_version = model, version

    def signature(self, model, version, name):
        if model != self.name:
            raise RequestError(404, f"Servable not found for request: Latest({model})")
        if version not in (None, self.served_version):
            raise RequestError(404, f"Servable not found for request: Specific({model}, {version})")
        if name not in self.loaded.signatures:
            raise RequestError(400, f'Serving signature name: "{name}" not found in signature def')
        return self.loaded.signatures[name]

    @staticmethod
    def call(signature, inputs):
        try:
            return {name: x.numpy() for name, x in signature(**inputs).items()}
        except tf.errors.InvalidArgumentError as error:
            raise RequestError(400, error.message) from error


class Grpc(service_pb2.PredictionServiceServicer):
    def __init__(self, servable):
        self.servable = servable

    def Predict(self, request, context):  # noqa: N802
        spec = request.model_spec
        version = spec.version.value if spec.HasField("version") else None
        inputs = {name: tf.constant(tf.make_ndarray(x)) for name, x in request.inputs.items()}
        try:
            signature = self.servable.signature(spec.name, version, spec.signature_name)
            outputs = self.servable.call(signature, inputs)
        except RequestError as error:
            status, message = error.args
            code = {404: grpc.StatusCode.NOT_FOUND, 400: grpc.StatusCode.INVALID_ARGUMENT}[status]
            context.abort(code, message)
        answer = predict_pb2.PredictResponse()
        for name, x in outputs.items():
            answer.outputs[name].CopyFrom(tf.make_tensor_proto(x))
        return answer


class Rest(BaseHTTPRequestHandler):
    servable: Servable

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        try:
            status, answer = 200, {"predictions": self.predict(body)}
        except RequestError as error:
            status, answer = error.args[0], {"error": error.args[1]}
        encoded = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(encoded)))
        self.end_headers()
        self.wfile.write(encoded)

    def predict(self, body):
        match = re.fullmatch(r"/v1/models/([^/:]+)(?:/versions/(\d+))?:predict", self.path)
        if not match:
            raise RequestError(404, f"Malformed request: POST {self.path}")
        model, version = match[1], None if match[2] is None else int(match[2])
        name = body.get("signature_name", "serving_default")
        signature = self.servable.signature(model, version, name)
        ((argument, spec),) = signature.structured_input_signature[1].items()
        instances = [self.decoded(instance, argument) for instance in body["instances"]]
        outputs = self.servable.call(signature, {argument: tf.constant(instances, spec.dtype)})
        if len(outputs) == 1:
            return next(iter(outputs.values())).tolist()
        rows = zip(*(x.tolist() for x in outputs.values()), strict=True)
        return [dict(zip(outputs, row, strict=True)) for row in rows]

    @staticmethod
    def decoded(instance, argument):
        if isinstance(instance, dict) and argument in instance:
            instance = instance[argument]
        if isinstance(instance, dict):
            return base64.b64decode(instance["b64"], validate=True)
        return instance

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def serve(path, model, version):
    """Serves an exported encoder as version `version` of `model`; yields {protocol: url}."""
    servable = Servable(path, model, version)
    service = grpc.server(futures.ThreadPoolExecutor(4))
    service_pb2.add_PredictionServiceServicer_to_server(Grpc(servable), service)
    port = service.add_insecure_port("localhost:0")
    service.start()
    handler = type("Handler", (Rest,), {"servable": servable})
    http = ThreadingHTTPServer(("localhost", 0), handler)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    try:
        yield {"rest": f"http://localhost:{http.server_port}", "grpc": f"localhost:{port}"}
    finally:
        http.shutdown()
        http.server_close()
        service.stop(None)
