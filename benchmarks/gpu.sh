#!/usr/bin/env bash
# Measures the network on a GPU: torch's own kernels with and without a CUDA graph, and inductor, in bfloat16, float16 and
# mixed precision, on plain and on realistic weights: what the gate says, milliseconds for one and two images, memory, the
# fraction of the matrix peak measured in the same run, and timm in bfloat16 beside them if it is installed.
#
# Run on an H100 with torch 2.11 (results/gpu_h100.txt), up to `mixed`, not in it. Needs Python with torch, numpy, safetensors, OpenCV and Pillow, and downloads nothing. Without a GPU
# it runs on the CPU with a reduced depth, to show that it works; such numbers mean nothing. About five minutes, most of
# them inductor's; --max-autotune takes longer.
#
#   benchmarks/gpu.sh [FILE.json] [options of gpu.py]
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
out="${1:-gpu.json}"
shift || true
PYTHONPATH="$here/..${PYTHONPATH:+:$PYTHONPATH}" exec "${PYTHON:-python3}" "$here/gpu.py" --json "$out" "$@"
