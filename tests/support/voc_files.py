"""Writes small Pascal VOC datasets."""

from pathlib import Path
from xml.sax.saxutils import escape

import cv2
import numpy as np


def picture(height=30, width=40, seed=0):
    """uint8 (height, width, 3), RGB: smooth, so that JPEG keeps it, and different at every corner."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)


def save(path: Path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    ok, encoded = cv2.imencode(path.suffix.lower(), image[..., ::-1] if image.ndim == 3 else image)
    assert ok
    path.write_bytes(encoded.tobytes())


def voc_object(name="cat", box=(3, 4, 20, 15), extra=""):
    corners = "".join(
        f"<{tag}>{value}</{tag}>" for tag, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    )
    return f"<object><name>{escape(name)}</name><bndbox>{corners}</bndbox>{extra}</object>"


def voc_xml(*objects, size=(30, 40), filename="elsewhere.png"):
    stated = "" if size is None else f"<size><width>{size[1]}</width><height>{size[0]}</height><depth>3</depth></size>"
    return f"<annotation><filename>{filename}</filename>{stated}{''.join(objects)}</annotation>"


def add(root: Path, stem, *objects, size=(30, 40), suffix=".png", image=None, xml=None, flat=False):
    """Add one image and its annotation to a dataset; the XML is made of `objects`, or given as `xml` (str or bytes)."""
    images, annotations = (root, root) if flat else (root / "JPEGImages", root / "Annotations")
    annotations.mkdir(parents=True, exist_ok=True)
    save(images / f"{stem}{suffix}", picture() if image is None else image)
    xml = voc_xml(*objects, size=size) if xml is None else xml
    (annotations / f"{stem}.xml").write_bytes(xml if isinstance(xml, bytes) else xml.encode())


def add_split(root: Path, name, text):
    path = root / "ImageSets" / "Main" / f"{name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
