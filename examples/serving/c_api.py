"""Calls a SavedModel through TensorFlow's C API, without TensorFlow's Python.

    python c_api.py SAVED_MODEL REQUESTS.json

Like TensorFlow Serving's loader, it restores the graph with the tag "serve" with libtensorflow_cc
and runs it by tensor names. REQUESTS.json is a list of requests, which one process answers in
order: {"inputs": {tensor name: file}, "outputs": {key: tensor name},
"answer": file}. An input is a .npy file, or a .json file with a list of strings in base64. An
answer is a .npz file. Prints a line for each request: "ok" or the error's message.
"""

import base64
import ctypes
import json
import sys
from ctypes import c_char_p, c_int, c_int64, c_size_t, c_void_p
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.random  # before the library, whose symbols it would take

STRING, STRING_BYTES = 7, 24
TYPES = {1: np.float32, 3: np.int32, 4: np.uint8, 9: np.int64, 10: np.bool_}
NUMBERS = {np.dtype(kind): number for number, kind in TYPES.items()}


class Output(ctypes.Structure):
    """TF_Output: an operation and the index of an output."""

    _fields_ = [("operation", c_void_p), ("index", c_int)]


def load_library():
    folder = Path(find_spec("tensorflow").submodule_search_locations[0])
    ctypes.CDLL(str(folder / "libtensorflow_framework.so.2"))
    library = ctypes.CDLL(str(folder / "libtensorflow_cc.so.2"))
    for name in ("NewStatus", "NewGraph", "NewSessionOptions", "NewBuffer"):
        getattr(library, f"TF_{name}").restype = c_void_p
    for name in ("LoadSessionFromSavedModel", "GraphOperationByName"):
        getattr(library, f"TF_{name}").restype = c_void_p
    for name in ("AllocateTensor", "TensorData", "StringGetDataPointer"):
        getattr(library, f"TF_{name}").restype = c_void_p
    library.TF_Message.restype = c_char_p
    library.TF_Dim.restype = c_int64
    library.TF_TensorByteSize.restype = library.TF_StringGetSize.restype = c_size_t
    return library


class Session:
    """A SavedModel, loaded."""

    def __init__(self, path):
        self.tf = load_library()
        self.status = c_void_p(self.tf.TF_NewStatus())
        self.graph = c_void_p(self.tf.TF_NewGraph())
        options = c_void_p(self.tf.TF_NewSessionOptions())
        tags = (c_char_p * 1)(b"serve")
        self.session = c_void_p(
            self.tf.TF_LoadSessionFromSavedModel(
                options, None, path.encode(), tags, 1, self.graph, None, self.status
            )
        )
        self._check()

    def _check(self):
        if self.tf.TF_GetCode(self.status):
            raise RuntimeError(self.tf.TF_Message(self.status).decode(errors="replace"))

    def run(self, inputs, outputs):
        """Answers one request: {tensor name: array or list of bytes} -> arrays of `outputs`."""
        input_ports = (Output * len(inputs))(*[self._port(name) for name in inputs])
        input_values = (c_void_p * len(inputs))(*[self._tensor(x) for x in inputs.values()])
        output_ports = (Output * len(outputs))(*[self._port(name) for name in outputs])
        output_values = (c_void_p * len(outputs))()
        self.tf.TF_SessionRun(
            *(self.session, None),
            *(input_ports, input_values, len(inputs)),
            *(output_ports, output_values, len(outputs)),
            *(None, 0, None, self.status),
        )
        for value in input_values:
            self.tf.TF_DeleteTensor(c_void_p(value))
        self._check()
        return [self._array(c_void_p(tensor)) for tensor in output_values]

    def _port(self, name):
        operation, index = name.split(":")
        pointer = self.tf.TF_GraphOperationByName(self.graph, operation.encode())
        if not pointer:
            raise RuntimeError(f"the graph has no operation {operation}")
        return Output(pointer, int(index))

    def _tensor(self, value):
        if isinstance(value, list):
            dims = (c_int64 * 1)(len(value))
            tensor = self.tf.TF_AllocateTensor(STRING, dims, 1, STRING_BYTES * len(value))
            first = self.tf.TF_TensorData(c_void_p(tensor))
            for number, text in enumerate(value):
                address = c_void_p(first + STRING_BYTES * number)
                self.tf.TF_StringInit(address)
                self.tf.TF_StringCopy(address, c_char_p(text), c_size_t(len(text)))
            return tensor
        value = np.ascontiguousarray(value)
        dims = (c_int64 * value.ndim)(*value.shape)
        dtype = NUMBERS[value.dtype]
        tensor = self.tf.TF_AllocateTensor(dtype, dims, value.ndim, c_size_t(value.nbytes))
        ctypes.memmove(self.tf.TF_TensorData(c_void_p(tensor)), value.ctypes.data, value.nbytes)
        return tensor

    def _array(self, tensor):
        shape = [self.tf.TF_Dim(tensor, n) for n in range(self.tf.TF_NumDims(tensor))]
        first, size = self.tf.TF_TensorData(tensor), self.tf.TF_TensorByteSize(tensor)
        dtype = self.tf.TF_TensorType(tensor)
        if dtype == STRING:
            strings = [self._string(first, n) for n in range(int(np.prod(shape)))]
            return np.array(strings).reshape(shape)
        return np.frombuffer(ctypes.string_at(first, size), TYPES[dtype]).reshape(shape)

    def _string(self, first, number):
        address = c_void_p(first + STRING_BYTES * number)
        return ctypes.string_at(
            self.tf.TF_StringGetDataPointer(address), self.tf.TF_StringGetSize(address)
        )


def read(file):
    if file.endswith(".npy"):
        return np.load(file, allow_pickle=False)
    return [base64.b64decode(text) for text in json.loads(Path(file).read_text())]


def main(path, requests):
    session = Session(path)
    for request in json.loads(Path(requests).read_text()):
        inputs = {name: read(file) for name, file in request["inputs"].items()}
        try:
            arrays = session.run(inputs, list(request["outputs"].values()))
        except RuntimeError as error:
            print(" ".join(str(error).split()))
        else:
            np.savez(request["answer"], **dict(zip(request["outputs"], arrays, strict=True)))
            print("ok")
    assert "tensorflow" not in sys.modules


if __name__ == "__main__":
    main(*sys.argv[1:])
