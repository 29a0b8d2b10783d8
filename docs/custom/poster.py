"""An image function: a picture in few colours, as a screen print has them."""

from typing import Literal

from PIL import Image, ImageOps


def load() -> None:
    """There is nothing to load."""


def run(
    model: None,
    image: Image.Image,
    bits: Literal[1, 2, 3, 4] = 2,
    invert: bool = False,
) -> Image.Image:
    """Each of red, green and blue keeps so many bits."""
    poster = ImageOps.posterize(image.convert("RGB"), bits)
    return ImageOps.invert(poster) if invert else poster
