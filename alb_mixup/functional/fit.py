"""What MixUp is going to do with a reference image, told to the reference before it reads it."""

from typing import NamedTuple

from alb_mixup.functional import Array
from alb_mixup.functional.geometry import Placement, fit_image, place
from alb_mixup.functional.resize import outgrows


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
            Array of `size(image_hw)`; `image` itself where it has that size, or where the canvas cuts so much off that
            this would be many times larger than canvas and image: then the canvas takes what it needs from `image`.
        """
        size_hw = self.size(image_hw)
        if outgrows(image.shape[:2], size_hw, self.canvas_hw):
            return image
        return fit_image(image, Placement(size_hw, size_hw), 0, self.interpolation)
