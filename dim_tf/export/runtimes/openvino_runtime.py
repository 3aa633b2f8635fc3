"""OpenVINO's intermediate representation, read and run by OpenVINO."""

from pathlib import Path

import numpy as np

from dim_tf.export.runtimes.runtime import Run, check_packages

FILE = "model.xml"  # and model.bin, the weights
# Else OpenVINO computes in bfloat16 on processors that have it, with features of 2 to 3 digits.
FLOAT32 = {"INFERENCE_PRECISION_HINT": "f32"}


class OpenVino:
    """https://docs.openvino.ai."""

    name = "openvino"

    def check_installed(self) -> None:
        """Raises InputError if the package is missing."""
        check_packages(self.name, ("openvino",))

    def write(self, saved_model: Path, folder: Path) -> None:
        """Writes model.xml and model.bin, with weights in float32."""
        import openvino

        # Not `convert_model`, which reports its use to Intel unless the user has opted out.
        model = openvino.Core().read_model(str(saved_model))
        openvino.save_model(model, str(folder / FILE), compress_to_fp16=False)

    def load(self, folder: Path) -> Run:
        """The model on the CPU."""
        import openvino

        model = openvino.Core().compile_model(str(folder / FILE), "CPU", FLOAT32)

        def run(images: np.ndarray) -> dict[str, np.ndarray]:
            outputs = model(images)
            return {port.get_any_name(): outputs[port] for port in model.outputs}

        return run
