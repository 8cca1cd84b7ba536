"""Measuring engines against each other, against timm, and against what the machine's matrix units can do."""
