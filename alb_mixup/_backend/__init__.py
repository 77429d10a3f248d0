"""The two Albumentations behind one face; nothing else in the package knows which one is installed.

`albumentations` 2.0.8 and AlbumentationsX share an import name and little else below the surface: they sample in
different hooks from different generators, and keep their label encoders and box formats in different places.
"""

from alb_mixup._backend.installation import BBOX_FORMATS, PIXEL_CENTRE, VERSION, Compose, from_dict, saved, to_dict
from alb_mixup._backend.labels import (
    check_exact,
    check_positions,
    check_weights,
    encode_labels,
    keep_strings_whole,
    known_codes,
    known_labels,
    renew_label_mappings,
)
from alb_mixup._backend.rows import (
    add_label_field,
    coord_format,
    filtered,
    from_internal,
    is_oriented,
    refuse_frame_binding,
    refuse_instance_binding,
    refuse_ultralytics,
    taken_masks,
    to_internal,
)
from alb_mixup._backend.streams import (
    WorkerStream,
    compose,
    distributed_rank,
    keypoint_params,
    mosaic_pipeline,
    run_nested,
    run_seeded,
    seed_in_worker,
)
from alb_mixup._backend.tensors import without_tensors
from alb_mixup._backend.transforms import MixTransform, only_printing

__all__ = [
    "BBOX_FORMATS",
    "PIXEL_CENTRE",
    "VERSION",
    "Compose",
    "MixTransform",
    "WorkerStream",
    "add_label_field",
    "check_exact",
    "check_positions",
    "check_weights",
    "compose",
    "coord_format",
    "distributed_rank",
    "encode_labels",
    "filtered",
    "from_dict",
    "from_internal",
    "is_oriented",
    "keep_strings_whole",
    "keypoint_params",
    "known_codes",
    "known_labels",
    "mosaic_pipeline",
    "only_printing",
    "refuse_frame_binding",
    "refuse_instance_binding",
    "refuse_ultralytics",
    "renew_label_mappings",
    "run_nested",
    "run_seeded",
    "saved",
    "seed_in_worker",
    "taken_masks",
    "to_dict",
    "to_internal",
    "without_tensors",
]
