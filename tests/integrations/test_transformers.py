"""Hugging Face transformers: the weights in the losses, against a recomputation in loops that shares no code with them.

Models are tiny, built from configurations with random weights; nothing is downloaded.
"""

import copy
import math
import pickle

import albumentations as A
import pytest

from alb_mixup import MixUp, sample_dataset
from alb_mixup.errors import ArgumentError, InstallationError
from tests.support.samples import pipeline

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from transformers.loss.loss_deformable_detr import DeformableDetrHungarianMatcher  # noqa: E402
from transformers.loss.loss_for_object_detection import HungarianMatcher  # noqa: E402
from transformers.loss.loss_rt_detr import RTDetrHungarianMatcher  # noqa: E402

from alb_mixup.integrations import transformers as integration  # noqa: E402
from alb_mixup.integrations.torch import MixUpSchedule, TransformedDataset, TransformersCollate  # noqa: E402
from alb_mixup.integrations.transformers import ScheduleCallback, weight_loss  # noqa: E402

SIDE, CLASSES, LAYERS = 160, 3, 2
DECODER = {
    "d_model": 32,
    "num_queries": 30,
    "num_labels": CLASSES,
    "encoder_layers": 1,
    "encoder_ffn_dim": 32,
    "encoder_attention_heads": 2,
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


def rt_detr_v2():
    backbone = transformers.RTDetrResNetConfig(**RESNET, **THREE_STAGES)
    sides = {"encoder_in_channels": [16, 24, 32], "decoder_layers": LAYERS}
    config = transformers.RTDetrV2Config(backbone_config=backbone, **DECODER, **QUERIES_FIRST, **sides)
    return transformers.RTDetrV2ForObjectDetection(config)


def d_fine():
    backbone = transformers.HGNetV2Config(**HGNET, **THREE_STAGES)
    sides = {"encoder_in_channels": [24, 32, 32], "decoder_layers": LAYERS, "decoder_n_points": [2, 2, 2]}
    config = transformers.DFineConfig(backbone_config=backbone, **DECODER, **QUERIES_FIRST, **sides)
    return transformers.DFineForObjectDetection(config)


def detr():
    backbone = transformers.ResNetConfig(**RESNET, out_features=["stage4"])
    settings = {"decoder_layers": LAYERS, "auxiliary_loss": True, "dropout": 0.0}
    return transformers.DetrForObjectDetection(transformers.DetrConfig(backbone_config=backbone, **DECODER, **settings))


def deformable_detr():
    backbone = transformers.ResNetConfig(**RESNET, **THREE_STAGES)
    settings = {"decoder_layers": LAYERS, "auxiliary_loss": True, "dropout": 0.0, "num_feature_levels": 3}
    return transformers.DeformableDetrForObjectDetection(
        transformers.DeformableDetrConfig(backbone_config=backbone, **DECODER, **settings)
    )


MODELS = [rt_detr_v2, d_fine, detr, deformable_detr]


@pytest.fixture(params=MODELS, ids=lambda build: build.__name__)
def model(request):
    return perturbed(request.param)


def perturbed(build):
    """Leave the initial state, in which every box is the same and D-FINE's layers agree."""
    torch.manual_seed(0)
    model = build()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return model.train()


def batch(weighted=True):
    """Mixed images of the sample data, one of them without boxes."""
    dataset = sample_dataset()
    mixer = pipeline(MixUp(dataset, p=1.0), A.Resize(SIDE, SIDE), seed=3)
    samples = [mixer(**dataset[index]) for index in range(3)]
    for key in ("bboxes", "labels", "mixup_weight"):
        samples[1][key] = []
        samples[0][key], samples[2][key] = samples[0][key][-12:], samples[2][key][:9]
    made = TransformersCollate(dataset.classes)(samples)
    assert len({round(float(w), 5) for labels in made["labels"] for w in labels["weights"]}) >= 2
    if not weighted:
        for labels in made["labels"]:
            labels["weights"] = torch.ones_like(labels["weights"])
    return made


def without_weights(labels):
    return [{key: value for key, value in target.items() if key != "weights"} for target in labels]


def loss_inputs(model, made):
    """What the model hands to its loss: the arguments' names and values, predictions as leaves that want gradients."""
    stock, seen = model.loss_function, {}
    names = ("logits", "labels", "device", "pred_boxes", "config", "outputs_class", "outputs_coord")

    def record(*args, **kwargs):
        seen.update(zip(names, args, strict=False), **kwargs)
        return stock(*args, **kwargs)

    model.loss_function = record
    model(**made)
    model.loss_function = stock
    return {
        key: value.detach().clone().requires_grad_() if torch.is_tensor(value) and value.is_floating_point() else value
        for key, value in seen.items()
    }


def weighted_terms(model, inputs, labels):
    """Return the total and the terms of the model's weighted loss on given predictions."""
    if not hasattr(model, "_loss_function") or not isinstance(model.loss_function, integration.partial):
        weight_loss(model)
    total, terms, _ = model.loss_function(**(inputs | {"labels": labels}))
    return total, terms


# --- the recomputation --------------------------------------------------------------------------------------------


def corners(box):
    x, y, w, h = (float(value) for value in box)
    return x - w / 2, y - h / 2, x + w / 2, y + h / 2


def iou_and_giou(left, right):
    (a, b, c, d), (e, f, g, h) = corners(left), corners(right)
    inter = max(0.0, min(c, g) - max(a, e)) * max(0.0, min(d, h) - max(b, f))
    union = (c - a) * (d - b) + (g - e) * (h - f) - inter
    hull = (max(c, g) - min(a, e)) * (max(d, h) - min(b, f))
    return inter / union, inter / union - (hull - union) / hull


def log_sigmoid(x):
    return -math.log1p(math.exp(-x)) if x > 0 else x - math.log1p(math.exp(x))


def class_term(kind, logits, target_class, weight, iou, config):
    """One query's class term; target_class None: it is matched to nothing."""
    values = [float(value) for value in logits]
    if kind == "ce":
        chosen, share = (len(values) - 1, config.eos_coefficient) if target_class is None else (target_class, weight)
        return share * (math.log(sum(math.exp(value - max(values)) for value in values)) + max(values) - values[chosen])
    total = 0.0
    for number, value in enumerate(values):
        p, positive = 1 / (1 + math.exp(-value)), number == target_class
        if kind == "vfl":
            q = weight * iou if positive else 0.0
            factor = q if positive else config.focal_loss_alpha * p**config.focal_loss_gamma
            total -= factor * (q * log_sigmoid(value) + (1 - q) * log_sigmoid(-value))
        elif positive:
            total -= weight * config.focal_alpha * (1 - p) ** 2 * log_sigmoid(value)
        else:
            total -= (1 - config.focal_alpha) * p**2 * log_sigmoid(-value)
    return total


def recomputed(kind, logits, boxes, labels, matches, config, num_boxes):
    """Class, L1 and GIoU terms of one layer, in loops and float64."""
    sums, class_weights = {"class": 0.0, "bbox": 0.0, "giou": 0.0}, 0.0
    for image, target in enumerate(labels):
        of_query = dict(zip(*(indices.tolist() for indices in matches[image]), strict=True))
        for query, row in enumerate(logits[image]):
            goal = of_query.get(query)
            class_weights += config.eos_coefficient if goal is None and kind == "ce" else 1.0
            if goal is None:
                sums["class"] += class_term(kind, row, None, 1.0, None, config)
                continue
            weight, box = float(target["weights"][goal]), boxes[image][query]
            iou, giou = iou_and_giou(box, target["boxes"][goal])
            sums["class"] += class_term(kind, row, int(target["class_labels"][goal]), weight, iou, config)
            sums["bbox"] += weight * sum(
                abs(float(a) - float(b)) for a, b in zip(box, target["boxes"][goal], strict=True)
            )
            sums["giou"] += weight * (1 - giou)
    class_norm = class_weights if kind == "ce" else num_boxes
    return {"class": sums["class"] / class_norm, "bbox": sums["bbox"] / num_boxes, "giou": sums["giou"] / num_boxes}


def layers_of(inputs):
    """Return (suffix, logits, boxes, whether denoising) for every output that is trained, and how its class is."""
    config, meta = inputs["config"], inputs.get("denoising_meta_values")
    if hasattr(config, "weight_loss_vfl"):
        classes, coords = inputs["outputs_class"], inputs["outputs_coord"]
        if isinstance(config, transformers.DFineConfig):
            coords = coords.clamp(0, 1)
        start = meta["dn_num_split"][0]
        # D-FINE's loss pairs its classes with its corners, of which there is one layer less.
        count = (classes if inputs["predicted_corners"] is None else inputs["predicted_corners"]).shape[1]
        layers = [("", classes[:, -1, start:], coords[:, -1, start:], False)]
        layers += [(f"_aux_{i}", classes[:, i, start:], coords[:, i, start:], False) for i in range(count - 1)]
        layers += [(f"_aux_{count - 1}", inputs["enc_topk_logits"], inputs["enc_topk_bboxes"], False)]
        layers += [(f"_dn_{i}", classes[:, i, :start], coords[:, i, :start], True) for i in range(count)]
        return "vfl", RTDetrHungarianMatcher(config), layers
    costs = (config.class_cost, config.bbox_cost, config.giou_cost)
    classes, coords = inputs["outputs_class"], inputs["outputs_coord"]
    layers = [("", inputs["logits"], inputs["pred_boxes"], False)]
    layers += [(f"_{i}", classes[i], coords[i], False) for i in range(LAYERS - 1)]
    if isinstance(config, transformers.DetrConfig):
        return "ce", HungarianMatcher(*costs), layers
    return "focal", DeformableDetrHungarianMatcher(*costs), layers


def recomputed_terms(inputs, labels):
    inputs = {key: value.detach() if torch.is_tensor(value) else value for key, value in inputs.items()}
    kind, matcher, layers = layers_of(inputs)
    config, count = inputs["config"], max(1, sum(len(target["boxes"]) for target in labels))
    terms = {}
    for suffix, logits, boxes, denoising in layers:
        if denoising:
            meta = inputs["denoising_meta_values"]
            groups = meta["dn_num_group"]
            goals = [torch.arange(len(target["boxes"])).repeat(groups) for target in labels]
            matches = list(zip(meta["dn_positive_idx"], goals, strict=True))
        else:
            matches, groups = matcher({"logits": logits, "pred_boxes": boxes}, without_weights(labels)), 1
        values = recomputed(kind, logits, boxes, labels, matches, config, count * groups)
        scales = {"class": 1.0, "bbox": 1.0, "giou": 1.0}  # DETR's coefficients are applied to the total
        if kind == "vfl":
            scales = {
                "class": config.weight_loss_vfl,
                "bbox": config.weight_loss_bbox,
                "giou": config.weight_loss_giou,
            }
        names = {"class": "vfl" if kind == "vfl" else "ce", "bbox": "bbox", "giou": "giou"}
        terms |= {f"loss_{names[key]}{suffix}": scales[key] * value for key, value in values.items()}
    return terms


# --- the losses ---------------------------------------------------------------------------------------------------


def test_every_term_is_as_recomputed(model):
    made = batch()
    inputs = loss_inputs(model, made)
    _, terms = weighted_terms(model, inputs, made["labels"])
    expected = recomputed_terms(inputs, made["labels"])
    others = ("cardinality", "fgl", "ddf")
    ours = {key: float(term.detach()) for key, term in terms.items() if not any(name in key for name in others)}
    assert ours.keys() == expected.keys()
    assert ours == pytest.approx(expected, rel=1e-4, abs=1e-6)
    assert min(value for key, value in ours.items() if "bbox" in key) > 0.01


def test_weight_of_one_target_scales_its_terms_alone(model):
    """L1, GIoU, FGL, DDF and hard class terms are straight lines in w; VFL, whose target is w · IoU, is none."""
    made = batch(weighted=False)
    inputs = loss_inputs(model, made)

    def terms_at(weight):
        labels = copy.deepcopy(made["labels"])
        labels[0]["weights"][4] = weight
        return weighted_terms(model, inputs, labels)[1]

    none, third, one = terms_at(0.0), terms_at(0.3), terms_at(1.0)
    linear = [key for key in one if "vfl" not in key and "cardinality" not in key]
    for key in linear:
        expected = none[key] + 0.3 * (one[key] - none[key])
        torch.testing.assert_close(third[key], expected, rtol=1e-4, atol=1e-6)
        if "fgl" not in key and "ddf" not in key:
            assert none[key] < third[key] < one[key]
    for name in {"fgl", "ddf"} & {key.split("_")[1] for key in linear}:  # some layers' IoU with this target is 0
        assert any(none[key] != one[key] for key in linear if name in key)


def gradients(model, made):
    torch.manual_seed(1)  # of the denoising queries
    model.zero_grad()
    out = model(**made)
    out.loss.backward()
    return out.loss, out.loss_dict, [p.grad.clone() for p in model.parameters() if p.grad is not None]


@pytest.mark.parametrize("labelled", ["ones", "none"])
def test_all_ones_are_the_stock_loss_to_the_bit(model, labelled):
    made = batch(weighted=False)
    stock_loss, stock_terms, stock_gradients = gradients(model, made)
    weight_loss(model)
    if labelled == "none":
        made["labels"] = without_weights(made["labels"])
    loss, terms, found = gradients(model, made)
    assert torch.equal(loss, stock_loss)
    assert terms.keys() == stock_terms.keys()
    assert all(torch.equal(terms[key], stock_terms[key]) for key in terms)
    assert all(map(torch.equal, found, stock_gradients))
    assert all(gradient.isfinite().all() for gradient in found)


def test_weights_change_the_loss_and_its_gradients_are_finite(model):
    made = batch()
    stock_loss, _, _ = gradients(model, made)
    weight_loss(model)
    loss, _, found = gradients(model, made)
    assert loss < stock_loss
    assert all(gradient.isfinite().all() for gradient in found)


def test_zero_weights_pull_nothing_up(model):
    made = batch()
    inputs = loss_inputs(model, made)
    for labels in made["labels"]:
        labels["weights"] = torch.zeros_like(labels["weights"])
    total, terms = weighted_terms(model, inputs, made["labels"])
    total.backward()
    boxes = [terms[key] for key in terms if any(name in key for name in ("bbox", "giou", "fgl"))]
    assert len(boxes) >= 2 * LAYERS
    assert all(float(term) == 0 for term in map(torch.Tensor.detach, boxes))
    for key in ("pred_boxes", "outputs_coord"):
        assert inputs[key].grad is None or not inputs[key].grad.any()
    last = -1 if type(model).__name__ == "DetrForObjectDetection" else None  # DETR's last class is "no object"
    for key in ("logits", "outputs_class"):
        if inputs[key].grad is not None:
            assert inputs[key].grad[..., :last].min() > -1e-7
            assert inputs[key].grad[..., :last].max() > 1e-5


@pytest.mark.parametrize("empty", [(0, 1, 2), (0, 2), (1,)])
def test_images_without_boxes(model, empty):
    made = batch()
    for index in empty:
        made["labels"][index] = {key: value[:0] for key, value in made["labels"][index].items()}
    weight_loss(model)
    loss, _, found = gradients(model, made)
    assert loss.isfinite()
    assert all(gradient.isfinite().all() for gradient in found)


def test_model_can_be_pickled():
    model = rt_detr_v2()
    weight_loss(model)
    made = batch()
    loss = gradients(model, made)[0]
    assert torch.equal(gradients(pickle.loads(pickle.dumps(model)), made)[0], loss)


def test_other_losses_are_refused(monkeypatch):
    model = detr()
    weight_loss(model)
    with pytest.raises(ArgumentError, match="model must have one of the stock losses"):
        weight_loss(model)
    other = detr()
    other.loss_function = len
    with pytest.raises(ArgumentError, match=r"RTDetrForObjectDetectionLoss.*got <built-in"):
        weight_loss(other)
    monkeypatch.setitem(integration._CRITERIA, detr().loss_function, {"AnotherLoss": object})
    with pytest.raises(InstallationError, match="uses AnotherLoss"):
        weight_loss(detr())


# --- Trainer ------------------------------------------------------------------------------------------------------


class Recording(transformers.TrainerCallback):
    """Keep the loss of each step, and the schedule's probability in it."""

    def __init__(self, schedule):
        self.schedule = schedule
        self.losses, self.probabilities = [], []

    def on_step_end(self, args, state, control, **kwargs):
        self.probabilities.append(self.schedule.p)

    def on_log(self, args, state, control, logs=None, **kwargs):
        if "loss" in logs:
            self.losses.append(logs["loss"])


def train(model, folder, schedule, resume=None, **settings):
    dataset, recording = sample_dataset(), Recording(schedule)
    mixer = pipeline(MixUp(dataset), A.Resize(SIDE, SIDE), A.HorizontalFlip(p=0.5), seed=0)
    arguments = transformers.TrainingArguments(
        str(folder),
        per_device_train_batch_size=4,
        learning_rate=3e-3,
        lr_scheduler_type="constant",
        logging_steps=1,
        save_strategy="epoch",
        use_cpu=True,
        disable_tqdm=True,
        report_to=[],
        remove_unused_columns=False,
        **settings,
    )
    transformers.Trainer(
        model,
        arguments,
        train_dataset=TransformedDataset(dataset, mixer, schedule),
        data_collator=TransformersCollate(dataset.classes),
        callbacks=[ScheduleCallback(schedule), recording],
    ).train(resume_from_checkpoint=resume)
    return recording


@pytest.mark.parametrize("build", [rt_detr_v2, d_fine])
def test_training(build, tmp_path):
    torch.manual_seed(0)
    model = build()
    weight_loss(model)
    before = gradients(model, batch())[0]
    recording = train(model, tmp_path, MixUpSchedule({0: 1.0}), num_train_epochs=5)
    assert len(recording.losses) == 20
    assert all(map(math.isfinite, recording.losses))
    assert sum(recording.losses[-5:]) < sum(recording.losses[:5])
    assert gradients(model, batch())[0] < 0.8 * before


def test_resumed_training_goes_on_with_its_schedule(tmp_path):
    def probabilities(epochs, resume):
        model = rt_detr_v2()
        weight_loss(model)
        schedule = MixUpSchedule({0: 1.0, 2: 0.0})
        return train(model, tmp_path, schedule, resume, num_train_epochs=epochs).probabilities

    assert probabilities(1, None) == [1.0] * 4
    assert probabilities(3, True) == [1.0] * 4 + [0.0] * 4
