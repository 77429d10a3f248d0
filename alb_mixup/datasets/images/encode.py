"""From RGB pixels to an image file."""

import cv2
import numpy as np
from numpy.typing import NDArray


def encode_image(image: NDArray[np.uint8], image_format: str, quality: int) -> bytes:
    """Encode an image.

    Args:
        image: (H, W, 3) uint8, RGB.
        image_format: "png", or "jpg".
        quality: Of JPEG, 0 to 100.

    Returns:
        The file's bytes.
    """
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if image_format == "jpg" else []
    _, encoded = cv2.imencode(f".{image_format}", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    return encoded.tobytes()
