"""What stands in the place of a policy's vision backbone."""

from __future__ import annotations

from torch import Tensor, nn

from omnivla_vision.network.spec import Preset
from omnivla_vision.policy.errors import ConditionedVisionError, ModelError, NotTokensError


class TokenInput(nn.Module):
    """Has the face of OpenVLA's `PrismaticVisionBackbone`, and returns its input, which is tokens already.

    So whoever calls the model gives `port.read(message)` as `pixel_values`, and nothing is hidden in between. It has no
    parameters.

    Args:
        preset: the encoders that are not built.
        images: how many images' tokens come in, the goal's among them; None: as many as are set later.
        tokens_per_image: where they are pooled; None: the preset's patches.
        width: features of a token; None: the encoders' own, as in fused space.
    """

    def __init__(
        self,
        preset: Preset,
        *,
        images: int | None = None,
        tokens_per_image: int | None = None,
        width: int | None = None,
    ) -> None:
        super().__init__()
        self.embed_dim = preset.width
        self.use_fused_vision_backbone = len(preset.encoders) == 2
        self._tokens_per_image = preset.tokens_per_image if tokens_per_image is None else tokens_per_image
        self._width = preset.width if width is None else width
        self._fixed = images is not None
        self.num_images_in_input = images or 1

    @property
    def featurizer(self) -> nn.Module:
        """There is none: who asks wants to change it, as the wrapper of policies with FiLM does.

        Raises:
            ConditionedVisionError: always.
        """
        raise no_transformers()

    def get_num_patches(self) -> int:
        """Tokens of one image."""
        return self._tokens_per_image

    def get_num_images_in_input(self) -> int:
        """Images whose tokens come in."""
        return self.num_images_in_input

    def set_num_images_in_input(self, num_images_in_input: int) -> None:
        """As the policies' own scripts call it.

        Raises:
            ModelError: another number than the port was made for.
        """
        if self._fixed and num_images_in_input != self.num_images_in_input:
            raise ModelError(
                f"found set_num_images_in_input({num_images_in_input}); expected {self.num_images_in_input}, the "
                "number of images given to attach; name the images there that the policy takes, the goal among them"
            )
        self.num_images_in_input = num_images_in_input

    def forward(self, pixel_values: Tensor, language_embeddings: Tensor | None = None) -> Tensor:
        """Return `pixel_values`: tokens, [B, images * tokens_per_image, width].

        Raises:
            ConditionedVisionError: there are language embeddings.
            NotTokensError: it is of another shape, such as that of pixels.
        """
        if language_embeddings is not None:
            raise no_transformers()
        rows = self.num_images_in_input * self._tokens_per_image
        if pixel_values.ndim != 3 or tuple(pixel_values.shape[1:]) != (rows, self._width):
            raise NotTokensError(
                f"found pixel_values {list(pixel_values.shape)}; expected tokens [1, {rows}, {self._width}]; give the "
                "model what port.read returns"
            )
        return pixel_values


def no_transformers() -> ConditionedVisionError:
    """For whoever asks for the transformers themselves, or conditions them."""
    return ConditionedVisionError(
        "found a policy that reaches into its vision transformers, as those with FiLM do to condition them on language "
        "(use_film); expected one that takes the tokens as they are; use a policy that was trained without FiLM"
    )
