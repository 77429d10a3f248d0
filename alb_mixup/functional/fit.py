"""What MixUp is going to do with a reference image, told to the reference before it reads it."""

from typing import NamedTuple

from alb_mixup.functional import Array
from alb_mixup.functional.geometry import Placement, fit_image, place


class Fit(NamedTuple):
    """A size hint: the image is going to be placed on a canvas.

    Attributes:
        canvas_hw: (height, width) of the canvas, the primary's, in pixels.
        mode: "contain", "cover" or "stretch", as for `place`.
        interpolation: OpenCV flag of the resizing.
    """

    canvas_hw: tuple[int, int]
    mode: str
    interpolation: int

    def size(self, image_hw: tuple[int, int]) -> tuple[int, int]:
        """(height, width) in pixels that an image of `image_hw` is going to be resized to."""
        return place(self.canvas_hw, image_hw, self.mode)[1].size_hw

    def resize(self, image: Array, image_hw: tuple[int, int]) -> Array:
        """Resize as MixUp would.

        Args:
            image: (H, W) or (H, W, C), uint8 or float32; it may have fewer pixels than `image_hw`.
            image_hw: (height, width) of the whole image, which decides the size.

        Returns:
            Array of `size(image_hw)`; `image` itself where it has that size.
        """
        size_hw = self.size(image_hw)
        return fit_image(image, Placement(size_hw, size_hw), 0, self.interpolation)
