"""anomalies.html shows the most anomalous images first, and loads nothing."""

import base64
import io
import re

import numpy as np
from PIL import Image

from dim_tf.collection.patches import anomaly_page
from dim_tf.collection.patches.detection import fit_detector
from dim_tf.settings.anomaly import AnomalySettings

RNG = np.random.default_rng(0)
NORMAL = RNG.normal(size=(60, 4, 4, 6)).astype("f4")
IDS = ["a.png", "b.png", '<b>"c".png']


def read_image(row):
    return np.full((200, 100, 3), [40, 80, 120][row], np.uint8)


def test_the_page(monkeypatch):
    monkeypatch.setattr(anomaly_page, "MAX_SHOWN", 2)
    detector = fit_detector(NORMAL, AnomalySettings(false_alarms=0.1, neighbourhood=1))
    maps = NORMAL[:3].copy()
    maps[2, 1, 3] += 9
    alarms = detector.detect(maps)
    page = anomaly_page.render_anomaly_page("boards", IDS, alarms, detector, read_image)
    count = int(alarms.is_anomalous.sum())
    assert f"<strong>{count} of 3 images</strong> score above the threshold, chosen on " in page
    assert "is called anomalous with a probability of at most 10 %" in page
    first, second = np.argsort(-alarms.scores)[:2]
    assert first == 2
    shown = re.findall('alt="([^"]*)"', page)
    names = ["&lt;b&gt;&#34;c&#34;.png", IDS[second]]
    assert shown == [alt for name in names for alt in (name, f"heat map of {name}")]
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page)
    files = re.findall(r'src="data:image/jpeg;base64,([^"]*)"', page)
    images = [np.asarray(Image.open(io.BytesIO(base64.b64decode(file)))) for file in files]
    assert [image.shape for image in images] == [(96, 48, 3)] * 4
    assert abs(int(images[0].mean()) - 120) <= 1
    red = images[1][..., 0].astype(int) - images[1][..., 2]
    assert abs(np.unravel_index(red.argmax(), red.shape) - np.array([36, 42])).max() <= 8
