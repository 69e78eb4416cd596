"""Images: found, read as 8-bit RGB, and turned into batches; nothing that was done to them is left unsaid."""

from interpretkit.inputs.batch import Batch, batches, tensor_batches
from interpretkit.inputs.find import ImageFile, find_images
from interpretkit.inputs.read import given_images, read_image

__all__ = ["Batch", "ImageFile", "batches", "find_images", "given_images", "read_image", "tensor_batches"]
