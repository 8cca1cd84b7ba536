#!/usr/bin/env bash
# Measures the network on a GPU: eager, inductor and CUDA graphs in float16 and bfloat16, their parity with float32, one and
# two images, preprocessing, memory, and the fraction of the matrix peak measured in the same run.
#
# Needs Python with torch, numpy, safetensors, OpenCV and Pillow, and downloads nothing. Without a GPU it runs on the CPU with
# a reduced depth, to show that it works; such numbers mean nothing.
#
#   benchmarks/gpu.sh [FILE.json] [options of gpu.py]
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
out="${1:-gpu.json}"
shift || true
PYTHONPATH="$here/..${PYTHONPATH:+:$PYTHONPATH}" exec "${PYTHON:-python3}" "$here/gpu.py" --json "$out" "$@"
