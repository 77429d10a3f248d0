"""The layouts that are written: what the readers of `alb_mixup.datasets` read."""

from alb_mixup.generation.coco_layout import CocoLayout
from alb_mixup.generation.layout import Layout
from alb_mixup.generation.voc_layout import VocLayout
from alb_mixup.generation.yolo_layout import YoloLayout

LAYOUTS: dict[str, type[Layout]] = {"coco": CocoLayout, "yolo": YoloLayout, "voc": VocLayout}
