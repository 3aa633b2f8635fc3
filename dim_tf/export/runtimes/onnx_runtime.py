"""ONNX, by tf2onnx, run by ONNX Runtime."""

import logging
from pathlib import Path

import numpy as np
import tensorflow as tf

from dim_tf.export.runtimes.runtime import SIGNATURE, Run, check_packages

FILE = "model.onnx"
OPSET = 18  # of ONNX 1.13, 2022; all operations of our encoders are older


class OnnxRuntime:
    """https://github.com/onnx/tensorflow-onnx, https://onnxruntime.ai."""

    name = "onnx"

    def check_installed(self) -> None:
        """Raises InputError if a package is missing."""
        check_packages(self.name, ("tf2onnx", "onnx", "onnxruntime"))

    def write(self, saved_model: Path, folder: Path) -> None:
        """Writes model.onnx."""
        import onnx
        import tf2onnx

        logging.getLogger("tf2onnx").setLevel(logging.ERROR)
        loaded = tf.saved_model.load(str(saved_model))
        signature = loaded.signatures[SIGNATURE]
        (spec,) = signature.structured_input_signature[1].values()
        function = tf.function(lambda images: signature(images=images), autograph=False)
        model, _ = tf2onnx.convert.from_function(function, [spec], opset=OPSET)
        for value in (*model.graph.input, *model.graph.output):
            value.type.tensor_type.shape.dim[0].dim_param = "N"
        onnx.checker.check_model(model)
        onnx.save_model(model, str(folder / FILE))

    def load(self, folder: Path) -> Run:
        """The model on the CPU."""
        import onnxruntime

        session = onnxruntime.InferenceSession(
            str(folder / FILE), providers=["CPUExecutionProvider"]
        )
        names = [output.name for output in session.get_outputs()]
        (model_input,) = session.get_inputs()

        def run(images: np.ndarray) -> dict[str, np.ndarray]:
            outputs = session.run(names, {model_input.name: images})
            return dict(zip(names, outputs, strict=True))

        return run
