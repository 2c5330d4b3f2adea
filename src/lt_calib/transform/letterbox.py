"""Images whose aspect ratio is kept: what is missing to a square is filled with the mean color."""

from PIL import Image, ImageOps

from lt_calib.transform.crop_flip import CropFlip


class Letterbox(CropFlip):
    """As :class:`CropFlip`, on images that are fitted into the square and not squeezed; the rest is the mean color.

    For images in files; those that a source gives as a tensor have their shape already.

    Args:
        mean: Of each channel, on images scaled to [0, 1].
        std: Standard deviation, likewise.
        padding: Pixels around the image for the random crop, >= 0.
        flip: Whether training images are mirrored at random.
    """

    def fit(self, image: Image.Image, size: int) -> Image.Image:
        """Bring a decoded RGB image to ``size`` x ``size``."""
        color = tuple(round(255 * m) for m in self.mean)
        return ImageOps.pad(image, (size, size), Image.Resampling.BILINEAR, color=color)
