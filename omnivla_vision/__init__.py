"""OmniVLA's vision front end: camera and goal images in, fused visual tokens out."""

import pkgutil

# The generated omnivla_vision.msg lives in site-packages; a source tree earlier on sys.path must still find it there.
__path__ = pkgutil.extend_path(__path__, __name__)
