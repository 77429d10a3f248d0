"""What must hold before Albumentations is imported: no look-up of newer versions, no telemetry."""

import os

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
os.environ["ALBUMENTATIONS_NO_TELEMETRY"] = "1"
