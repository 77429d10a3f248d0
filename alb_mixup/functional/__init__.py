"""Pure kernels: no validation, no randomness, no Albumentations. Inputs are never written to."""
