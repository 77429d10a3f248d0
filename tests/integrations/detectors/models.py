"""Tiny detectors with random weights: nothing is downloaded."""

import torch
import torchvision
import transformers
from torchvision.models.detection import FCOS, FasterRCNN, KeypointRCNN, MaskRCNN, RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator, DefaultBoxGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.keypoint_rcnn import KeypointRCNNHeads, KeypointRCNNPredictor
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.ssd import SSD, SSDHead

CLASSES, LAYERS, SIDE = 3, 2, 128
DECODER = {
    "d_model": 32,
    "num_queries": 30,
    "num_labels": CLASSES,
    "encoder_layers": 1,
    "encoder_ffn_dim": 32,
    "encoder_attention_heads": 2,
    "decoder_layers": LAYERS,
    "decoder_ffn_dim": 32,
    "decoder_attention_heads": 2,
}
QUERIES_FIRST = {
    "encoder_hidden_dim": 32,
    "feat_strides": [8, 16, 32],
    "decoder_in_channels": [32, 32, 32],
    "num_denoising": 20,
}
RESNET = {"embedding_size": 8, "hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1], "layer_type": "basic"}
HGNET = {
    "embedding_size": 8,
    "hidden_sizes": [16, 24, 32, 32],
    "depths": [1, 1, 1, 1],
    "stem_channels": [3, 8, 8],
    "stage_in_channels": [8, 16, 24, 32],
    "stage_mid_channels": [8, 8, 8, 8],
    "stage_out_channels": [16, 24, 32, 32],
    "stage_num_blocks": [1, 1, 1, 1],
    "stage_numb_of_layers": [1, 1, 1, 1],
}
THREE_STAGES = {"out_features": ["stage2", "stage3", "stage4"]}
VIT = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": SIDE}
GROUPS = {
    "d_model": 32,
    "num_queries": 15,
    "group_detr": 2,
    "num_labels": CLASSES,
    "decoder_layers": LAYERS,
    "decoder_ffn_dim": 32,
    "decoder_self_attention_heads": 2,
    "decoder_cross_attention_heads": 2,
    "decoder_n_points": 2,
    "c2f_num_blocks": 1,
}


def perturbed(model):
    """Leave the initial state, in which every box is the same and D-FINE's layers agree."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return model.train()


def _rt_detr(model, config):
    backbone = transformers.RTDetrResNetConfig(**RESNET, **THREE_STAGES)
    sides = {"encoder_in_channels": [16, 24, 32]}
    return model(config(backbone_config=backbone, **DECODER, **QUERIES_FIRST, **sides))


def rt_detr():
    return _rt_detr(transformers.RTDetrForObjectDetection, transformers.RTDetrConfig)


def rt_detr_v2():
    return _rt_detr(transformers.RTDetrV2ForObjectDetection, transformers.RTDetrV2Config)


def d_fine():
    backbone = transformers.HGNetV2Config(**HGNET, **THREE_STAGES)
    sides = {"encoder_in_channels": [24, 32, 32], "decoder_n_points": [2, 2, 2]}
    config = transformers.DFineConfig(backbone_config=backbone, **DECODER, **QUERIES_FIRST, **sides)
    return transformers.DFineForObjectDetection(config)


def deimv2():
    backbone = transformers.HGNetV2Config(**HGNET, **THREE_STAGES)
    sides = {"encoder_in_channels": [24, 32, 32], "decoder_n_points": [2, 2, 2], "lqe_hidden_dim": 16}
    config = transformers.Deimv2Config(backbone_config=backbone, **DECODER, **QUERIES_FIRST, **sides)
    return transformers.Deimv2ForObjectDetection(config)


def _detr(model, config, **settings):
    backbone = transformers.ResNetConfig(**RESNET, out_features=["stage4"])
    return model(config(backbone_config=backbone, **DECODER, auxiliary_loss=True, dropout=0.0, **settings))


def detr():
    return _detr(transformers.DetrForObjectDetection, transformers.DetrConfig)


def conditional_detr():
    return _detr(transformers.ConditionalDetrForObjectDetection, transformers.ConditionalDetrConfig)


def dab_detr():
    settings = {"hidden_size": 32, "decoder_n_heads": 2}
    return _detr(transformers.DabDetrForObjectDetection, transformers.DabDetrConfig, **settings)


def table_transformer():
    return _detr(transformers.TableTransformerForObjectDetection, transformers.TableTransformerConfig)


def yolos():
    sides = {"num_labels": CLASSES, "num_detection_tokens": 30, "intermediate_size": 32, "auxiliary_loss": False}
    config = transformers.YolosConfig(**(VIT | {"image_size": [SIDE, SIDE]}), patch_size=16, **sides)
    return transformers.YolosForObjectDetection(config)


def deformable_detr():
    backbone = transformers.ResNetConfig(**RESNET, **THREE_STAGES)
    settings = {"auxiliary_loss": True, "dropout": 0.0, "num_feature_levels": 3}
    return transformers.DeformableDetrForObjectDetection(
        transformers.DeformableDetrConfig(backbone_config=backbone, **DECODER, **settings)
    )


def lw_detr():
    backbone = transformers.LwDetrViTConfig(
        **VIT, patch_size=16, num_windows=4, window_block_indices=[0], out_indices=[1, 2]
    )
    config = transformers.LwDetrConfig(backbone_config=backbone, projector_scale_factors=[1.0], **GROUPS)
    return transformers.LwDetrForObjectDetection(config)


def _rf_detr(model):
    backbone = transformers.RfDetrDinov2Config(**VIT, patch_size=16, num_windows=2, out_indices=[1, 2])
    config = transformers.RfDetrConfig(backbone_config=backbone, dropout=0.0, projector_scale_factors=[1.0], **GROUPS)
    return model(config)


def rf_detr():
    return _rf_detr(transformers.RfDetrForObjectDetection)


def rf_detr_segment():
    return _rf_detr(transformers.RfDetrForInstanceSegmentation)


def _grounding_dino(model, config):
    backbone = transformers.ResNetConfig(**RESNET, **THREE_STAGES)
    text = transformers.BertConfig(
        vocab_size=1100, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    settings = {"auxiliary_loss": True, "dropout": 0.0, "fusion_droppath": 0.0, "num_feature_levels": 3}
    return model(config(backbone_config=backbone, text_config=text, max_text_len=16, **DECODER, **settings))


def grounding_dino():
    return _grounding_dino(transformers.GroundingDinoForObjectDetection, transformers.GroundingDinoConfig)


def mm_grounding_dino():
    return _grounding_dino(transformers.MMGroundingDinoForObjectDetection, transformers.MMGroundingDinoConfig)


def _convolutions():
    layers = []
    for before, after in ((3, 8), (8, 16), (16, 32)):
        layers += [torch.nn.Conv2d(before, after, 3, stride=2, padding=1), torch.nn.ReLU()]
    backbone = torch.nn.Sequential(*layers)
    backbone.out_channels = 32
    return backbone


def _pool(side):
    return torchvision.ops.MultiScaleRoIAlign(["0"], output_size=side, sampling_ratio=2)


SIDES = {"min_size": SIDE, "max_size": SIDE}
ANCHORS = ((16, 32, 64),), ((1.0,),)


def _rcnn(model, **settings):
    return model(
        _convolutions(),
        rpn_anchor_generator=AnchorGenerator(*ANCHORS),
        box_roi_pool=_pool(3),
        box_head=TwoMLPHead(32 * 3 * 3, 32),
        box_predictor=FastRCNNPredictor(32, CLASSES + 1),
        rpn_post_nms_top_n_train=100,
        **SIDES,
        **settings,
    )


def faster_rcnn():
    return _rcnn(FasterRCNN)


def mask_rcnn():
    heads = {"mask_head": MaskRCNNHeads(32, (8,), 1), "mask_predictor": MaskRCNNPredictor(8, 8, CLASSES + 1)}
    return _rcnn(MaskRCNN, mask_roi_pool=_pool(6), **heads)


def keypoint_rcnn():
    heads = {"keypoint_head": KeypointRCNNHeads(32, (8,)), "keypoint_predictor": KeypointRCNNPredictor(8, 2)}
    return _rcnn(KeypointRCNN, keypoint_roi_pool=_pool(6), **heads)


def retinanet():
    return RetinaNet(_convolutions(), num_classes=CLASSES + 1, anchor_generator=AnchorGenerator(*ANCHORS), **SIDES)


def fcos():
    anchors = AnchorGenerator(((8,),), ((1.0,),))
    return FCOS(_convolutions(), num_classes=CLASSES + 1, anchor_generator=anchors, **SIDES)


def ssd():
    backbone = _convolutions()
    head = SSDHead([backbone.out_channels], [4], CLASSES + 1)
    return SSD(backbone, DefaultBoxGenerator([[2]]), (SIDE, SIDE), num_classes=CLASSES + 1, head=head)
