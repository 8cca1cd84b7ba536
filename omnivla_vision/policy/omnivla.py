"""What is OmniVLA's own: its modalities, by number."""

from __future__ import annotations

from omnivla_vision.policy.errors import ModalityError

# `modality_id`, from `_build_multimodal_attention_MMN` of OmniVLA's modeling_prismatic.py: which goals are attended to,
# as (image, pose, language). 0 to 3 are those with satellite images, whose mask its public code does not apply.
MODALITIES = {
    (False, True, False): 4,
    (True, True, False): 5,
    (True, False, False): 6,
    (False, False, True): 7,
    (False, True, True): 8,
}


def modality(*, image: bool = False, pose: bool = False, language: bool = False) -> int:
    """The number of a combination of goals.

    Raises:
        ModalityError: there is none for it.
    """
    try:
        return MODALITIES[image, pose, language]
    except KeyError:
        names = [name for name, on in (("image", image), ("pose", pose), ("language", language)) if on]
        raise ModalityError(
            f"found the goals {' and '.join(names) or 'none'}; expected one of image, pose, language, pose and image, "
            "pose and language: OmniVLA was trained on these"
        ) from None
