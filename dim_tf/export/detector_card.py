"""The card of a detector of anomalies: README.md of its export, for people who have only it."""

import json
import string
from collections.abc import Mapping
from typing import Any

from dim_tf import markdown
from dim_tf.export import card_sections

_CARD = string.Template("""\
# $name

A detector of anomalous images with dim_tf: PatchCore (<https://arxiv.org/abs/2106.08265>) on the
local features of an encoder learned $method.

- **Normal images**: $normal_data
- **Threshold**: a score above $threshold is an alarm. It was chosen on $calibration_images normal
  images that are not in the bank, so that a normal image is called anomalous with a probability
  of at most $rate (other normal images might have given a threshold that calls $interval of them
  so)
- **Memory bank**: $bank patches of $candidates, each averaged over $neighbourhood x $neighbourhood
  locations
- **Encoder**: $encoder_path, $encoder; trained on: $training_data
- **Licence**: $license
$note
${input_section}`score` grows with the distance to normal images; `p_value` is the probability that
a normal image scores as high; `is_anomalous` is whether the score exceeds the threshold. `heat_map`
has the distance of each pixel's surroundings to normal ones, `patch_scores` of each location of the
encoder's local map. Rate and p-values hold for images that come as the normal ones came: another
camera is another distribution.

$measured## Usage

VERSION is the number of the folder that this file is in.

```python
import tensorflow as tf

detector = tf.saved_model.load($quoted)
outputs = detector.signatures["serving_default"](images=images)
outputs["score"], outputs["is_anomalous"]  # [N]
outputs["heat_map"]  # [N, height, width]
```

$serving_section$integrity_section""")
_INVALID = "Other images\nhave `valid` false, and their outputs mean nothing."
_NOT_MEASURED = (
    "## Evaluation\n\nNot measured: nothing was known of the images that were scored.\n\n"
)


def render(metadata: Mapping[str, Any], checked: int) -> str:
    """The card as Markdown.

    Args:
        metadata: The content of assets/metadata.json.
        checked: Number of images on which the SavedModel was compared with the detector.
    """
    name, detector = metadata["name"], metadata["anomaly"]
    low, high = detector["false_alarms_ci95"]
    note = metadata.get("note", "")
    return _CARD.substitute(
        name=markdown.escape(name),
        method=markdown.escape(metadata.get("method") or "without labels"),
        normal_data=markdown.escape(detector["normal_data"]) or "not stated",
        threshold=f"{detector['threshold']:.4g}",
        rate=f"{100 * detector['false_alarms']:.3g} %",
        interval=f"{100 * low:.2g} to {100 * high:.2g} %",
        calibration_images=f"{detector['calibration_images']:,}",
        bank=f"{detector['bank']:,}",
        candidates=f"{detector['candidates']:,}",
        neighbourhood=detector["neighbourhood"],
        encoder_path=markdown.escape(detector["encoder"]),
        encoder=markdown.escape(metadata.get("encoder") or "not stated"),
        training_data=markdown.escape(metadata.get("training_data", "")) or "not stated",
        license=markdown.escape(metadata.get("license", ""))
        or "not stated; ask whoever gave you this folder",
        note=f"- **Note**: {markdown.escape(note)}\n" if note else "",
        input_section=card_sections.input_section(dict(metadata), _INVALID),
        measured=_measured(detector["measured"]),
        quoted=json.dumps(f"{name}/VERSION", ensure_ascii=False),
        serving_section=card_sections.serving_section(name),
        integrity_section=card_sections.integrity_section(name)
        + f"\nThe SavedModel was compared with the detector on {checked:,} normal images.\n",
    )


def _measured(values: Mapping[str, Any]) -> str:
    """The values measured against known defects."""
    if not values:
        return _NOT_MEASURED
    low, high = values["image_auroc_ci95"]
    text = (
        f"## Evaluation\n\nOn {values['images']:,} images whose folders tell defects from normal "
        f"images: image AUROC **{values['image_auroc']:.3f}** ({low:.3f} to {high:.3f}, 95 %), "
        f"{100 * values['detected']:.1f} % of the defects and "
        f"{100 * values['false_alarms']:.1f} % of the normal images above the threshold."
    )
    if values["pixel_auroc"] is not None:
        text += (
            f" AUROC of pixels **{values['pixel_auroc']:.3f}**, on the {values['masked_images']:,} "
            "of them whose mask is known."
        )
    text += "\n\n"
    if values["types"]:
        columns = ("type of defect", "images", "image AUROC", "95 % interval", "above threshold")
        rows = [
            (
                markdown.escape(entry["type"]),
                f"{entry['images']:,}",
                f"{entry['image_auroc']:.3f}",
                "{:.3f} to {:.3f}".format(*entry["image_auroc_ci95"]),
                f"{entry['detected']:.1%}",
            )
            for entry in values["types"]
        ]
        text += markdown.table(columns, rows) + "\n\n"
    return text
