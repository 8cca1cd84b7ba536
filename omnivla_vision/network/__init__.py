"""What is computed: encoders and presets as data, and the torch modules they describe."""
