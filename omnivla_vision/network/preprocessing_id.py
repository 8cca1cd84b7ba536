"""A readable identity of all that happens to an image in front of the network; needs neither torch nor OpenCV."""

from __future__ import annotations

from omnivla_vision.network.spec import EncoderSpec, Preset, Resize


def preprocessing_id(preset: Preset) -> str:
    """Views and image path (if any), resize, normalization: equal ids feed the same pixels to the same networks."""
    resizes = dict.fromkeys(_resize_id(spec.resize) for spec in preset.encoders)
    views = preset.views.ids(preset.mean_colour)
    parts = [*views, preset.image_path.id, "+".join(resizes), *map(_encoder_id, preset.encoders)]
    return "|".join(filter(None, parts))


def _resize_id(how: Resize) -> str:
    fill = f":fill={','.join(map(str, how.fill))}" if how.strategy == "letterbox" else ""
    return f"{how.strategy}:{how.interpolation}-antialias:uint8{fill}"


def _encoder_id(spec: EncoderSpec) -> str:
    mean, std = (",".join(f"{value:.9g}" for value in triple) for triple in (spec.mean, spec.std))
    return f"{spec.name}:{spec.image_size}:mean={mean}:std={std}"
