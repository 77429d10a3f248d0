"""Hugging Face transformers: what is refused, image processors, and the stock `Trainer`.

The losses are in test_rules.py. Models are tiny, built from configurations with random weights; nothing is downloaded.
"""

import inspect
import math
import pickle

import albumentations as A
import pytest

from alb_mixup import MixUp, sample_dataset
from alb_mixup.errors import ArgumentError, InstallationError, MissingWeightsWarning, SampleError
from tests.support.samples import pipeline

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from transformers.loss.loss_utils import LOSS_MAPPING  # noqa: E402

from alb_mixup.integrations import transformers as integration  # noqa: E402
from alb_mixup.integrations.torch import MixUpSchedule, TransformedDataset, TransformersCollate  # noqa: E402
from alb_mixup.integrations.transformers import ScheduleCallback, weight_loss  # noqa: E402
from tests.integrations.detectors import models  # noqa: E402
from tests.integrations.detectors.table import masks_of, mixed_samples  # noqa: E402

CLASSES = ["Platelets", "RBC", "WBC"]
SIDE = 160
OF_THE_SAME_LOSS = [models.rt_detr, models.conditional_detr, models.dab_detr, models.table_transformer, models.yolos]
NAMED = [
    *(models.rt_detr_v2, models.d_fine, models.deimv2, models.rf_detr, models.lw_detr, models.detr),
    *(models.deformable_detr, models.conditional_detr, models.dab_detr, models.yolos),
]


def batch():
    """Mixed images of the sample data."""
    return TransformersCollate(CLASSES)(mixed_samples(sizes=[(128, 128)] * 3))


def measured(model, made):
    """The loss; of IA-BCE, whose target grows as boxes get better and its entropy with it, L1 and GIoU alone."""
    torch.manual_seed(1)
    with torch.no_grad():
        out = model.train()(**made)
    boxes = out.loss_dict["loss_bbox"] + out.loss_dict["loss_giou"]
    return float(boxes if "enc" in "".join(out.loss_dict) else out.loss)


def losses(model, made):
    torch.manual_seed(1)  # of the denoising queries
    return model(**made).loss


def test_every_loss_for_detection_is_known():
    queries = {
        function
        for function in LOSS_MAPPING.values()
        if {"pred_boxes", "labels"} <= set(inspect.signature(function).parameters)
    }
    assert queries == set(integration._CRITERIA)


@pytest.mark.parametrize("build", OF_THE_SAME_LOSS, ids=lambda build: build.__name__)
def test_models_that_share_a_loss(build):
    torch.manual_seed(0)
    model, made = models.perturbed(build()), batch()
    stock = losses(model, made)
    weight_loss(model)
    whole = [labels | {"weights": torch.ones_like(labels["weights"])} for labels in made["labels"]]
    assert torch.equal(losses(model, made | {"labels": whole}), stock)
    loss = losses(model, made)
    assert loss < stock
    loss.backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("rule", ["interpolate", "scale"])
@pytest.mark.parametrize(
    "build", [models.rt_detr_v2, models.deimv2, models.deformable_detr], ids=lambda build: build.__name__
)
def test_as_many_classes_as_queries(build, rule, monkeypatch):
    """Focal losses average queries and then sum classes: (images, classes) is as long as (images, queries)."""
    monkeypatch.setitem(models.DECODER, "num_labels", models.DECODER["num_queries"])
    monkeypatch.setattr(models, "CLASSES", models.DECODER["num_queries"])
    torch.manual_seed(0)
    model = models.perturbed(build())
    weight_loss(model, rule)
    given, class_terms = batch(), []
    for weight in (0.0, 0.25, 1.0):
        labels = [each | {"weights": torch.full_like(each["weights"], weight)} for each in given["labels"]]
        torch.manual_seed(1)
        terms = model(**given | {"labels": labels}).loss_dict
        class_terms.append(next(terms[key] for key in ("loss_vfl", "loss_mal", "loss_ce") if key in terms))
    nothing, quarter, whole = class_terms
    torch.testing.assert_close(quarter, nothing + 0.25 * (whole - nothing), rtol=1e-4, atol=1e-5)


def test_missing_weights_are_said_once_and_in_training_alone():
    model, made = models.detr().train(), batch()
    weight_loss(model)
    made["labels"] = [{key: value for key, value in labels.items() if key != "weights"} for labels in made["labels"]]
    with torch.no_grad():
        model(**made)
    with pytest.warns(MissingWeightsWarning, match="collate with TransformersCollate"):
        model(**made)
    model(**made)


@pytest.mark.filterwarnings("ignore")  # torch.compile has some of its own
@pytest.mark.parametrize("build", [models.detr, models.d_fine], ids=lambda build: build.__name__)
def test_compiled_losses_are_the_same(build):
    """Of two batches: code that is compiled for the first is called again for the second."""
    made, model = batch(), build().train()
    weight_loss(model)
    plain = model.loss_function
    compiled = torch.compile(plain, backend="eager")
    for weight in (0.25, 0.5):
        labels = [each | {"weights": torch.full_like(each["weights"], weight)} for each in made["labels"]]
        found = []
        for model.loss_function in (plain, compiled):
            found.append(losses(model, made | {"labels": labels}))
        assert torch.allclose(*found, rtol=1e-4)


def test_model_can_be_pickled():
    model = models.rt_detr_v2()
    weight_loss(model)
    made = batch()
    assert torch.equal(losses(pickle.loads(pickle.dumps(model)).train(), made), losses(model.train(), made))


def test_other_losses_are_refused(monkeypatch):
    model = models.detr()
    weight_loss(model)
    with pytest.raises(ArgumentError, match="model must have one of the stock losses"):
        weight_loss(model)

    class Wrapper(torch.nn.Module):
        """Hands out what the model has, and keeps what it is given, as PEFT's do."""

        def __getattr__(self, name):
            return super().__getattr__(name) if name == "base" else getattr(self.base, name)

    wrapper = Wrapper()
    wrapper.base = models.detr()
    with pytest.raises(ArgumentError, match="model must be a model of transformers itself, got Wrapper"):
        weight_loss(wrapper)
    other = models.detr()
    other.loss_function = len
    with pytest.raises(ArgumentError, match=r"RTDetrForObjectDetectionLoss.*got <built-in"):
        weight_loss(other)
    stock, another = models.detr().loss_function, type("AnotherLoss", (), {})
    monkeypatch.setitem(integration._CRITERIA, stock, another)
    monkeypatch.setitem(integration._WEIGHTED, (another, "interpolate"), another)
    with pytest.raises(InstallationError, match="uses AnotherLoss"):
        weight_loss(models.detr())


# --- image processors ---------------------------------------------------------------------------------------------

PROCESSORS = [
    transformers.RTDetrImageProcessor(size={"height": 96, "width": 96}),
    transformers.DetrImageProcessor(size={"shortest_edge": 96, "longest_edge": 160}),
    transformers.DeformableDetrImageProcessor(size={"height": 96, "width": 64}),
]


@pytest.mark.parametrize("processor", PROCESSORS, ids=lambda processor: type(processor).__name__)
def test_processor_sizes_and_pads_and_weights_stay_with_their_boxes(processor):
    samples = mixed_samples(sizes=[(100, 150), (80, 80), (120, 60)])
    samples[0]["image_id"], samples[1]["image_id"], samples[2]["image_id"] = 7, 8, 900100184613
    for sample in samples:
        sample["mixup_weight"] = [0.1 * (1 + number) for number in range(len(sample["bboxes"]))]
    plain = TransformersCollate(CLASSES)([samples[0]])["labels"][0]
    samples[2]["bboxes"][1][2] = samples[2]["bboxes"][1][0]  # nothing is left of it: the processor drops it
    made = TransformersCollate(CLASSES, processor=processor)(samples)
    labels = made["labels"]
    assert [int(target["image_id"]) for target in labels] == [7, 8, 900100184613]
    assert [target["orig_size"].tolist() for target in labels] == [[100, 150], [80, 80], [120, 60]]
    assert [len(target["boxes"]) for target in labels] == [6, 0, 5]
    for target in labels:
        assert len(target["boxes"]) == len(target["weights"]) == len(target["class_labels"])
        assert target["weights"].dtype == torch.float32
    kept = [0, 2, 3, 4, 5]
    assert labels[2]["weights"].tolist() == pytest.approx([samples[2]["mixup_weight"][i] for i in kept])
    assert labels[2]["class_labels"].tolist() == [CLASSES.index(samples[2]["labels"][i]) for i in kept]
    height, width = made["pixel_values"].shape[-2:]
    inside = made["pixel_mask"][0].bool() if "pixel_mask" in made else torch.ones(height, width, dtype=torch.bool)
    shares = torch.tensor([inside.any(0).sum() / width, inside.any(1).sum() / height]).repeat(2)
    torch.testing.assert_close(labels[0]["boxes"], plain["boxes"] * shares, rtol=0, atol=2e-3)
    assert torch.equal(labels[0]["weights"], plain["weights"])


def test_processor_takes_float_images_as_shares():
    samples = mixed_samples(sizes=[(96, 96)])
    collate = TransformersCollate(CLASSES, processor=PROCESSORS[0])
    whole = collate(samples)["pixel_values"]
    floats = collate([samples[0] | {"image": (samples[0]["image"] / 255).astype("float32")}])["pixel_values"]
    torch.testing.assert_close(floats, whole, rtol=0, atol=1e-6)


@pytest.mark.parametrize("processor", PROCESSORS, ids=lambda processor: type(processor).__name__)
def test_uint8_and_float_images_in_one_batch(processor):
    samples = mixed_samples(sizes=[(100, 150), (80, 80)])
    whole = TransformersCollate(CLASSES, processor=processor)(samples)["pixel_values"]
    samples[1]["image"] = (samples[1]["image"] / 255).astype("float32")
    mixed = TransformersCollate(CLASSES, processor=processor)(samples)["pixel_values"]
    torch.testing.assert_close(mixed, whole, rtol=0, atol=0.02)  # uint8 images are resized to whole numbers


def test_boxes_are_shares_where_a_processor_does_not_normalize_images():
    """DETR's would leave them as corners in pixels."""
    size = {"height": 96, "width": 64}
    samples = mixed_samples(sizes=[(100, 150)])
    plain, made = (
        TransformersCollate(CLASSES, processor=transformers.DetrImageProcessor(size=size, do_normalize=normalize))(
            samples
        )["labels"][0]["boxes"]
        for normalize in (True, False)
    )
    assert torch.equal(made, plain)
    x, y, right, bottom = samples[0]["bboxes"][0]
    centre = [(x + right) / 300, (y + bottom) / 200, (right - x) / 150, (bottom - y) / 100]
    assert made[0].tolist() == pytest.approx(centre, abs=1e-4)


def test_processor_refuses():
    with pytest.raises(ArgumentError, match="processor must be an image processor"):
        TransformersCollate(CLASSES, processor="facebook/detr-resnet-50")
    sample, other = mixed_samples()[:2]
    masked = sample | {"masks": [sample["image"][..., 0]] * 6}
    with pytest.raises(SampleError, match="masks must be left out of samples for RTDetrImageProcessor"):
        TransformersCollate(CLASSES, processor=PROCESSORS[0])([masked])
    with pytest.raises(SampleError, match="masks must be in all samples of a batch or in none"):
        TransformersCollate(CLASSES, processor=PROCESSORS[1])([masked, other])


WITH_MASKS = [*PROCESSORS[1:], transformers.RfDetrImageProcessor(size={"height": 96, "width": 96})]


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools' own
@pytest.mark.parametrize("processor", WITH_MASKS, ids=lambda processor: type(processor).__name__)
def test_masks_go_through_a_processor_with_their_boxes(processor):
    samples = mixed_samples(sizes=[(100, 150), (80, 80), (120, 60)])
    for sample in samples:
        shape = sample["image"].shape[:2]
        sample["masks"] = list(masks_of(torch.tensor(sample["bboxes"]).reshape(-1, 4), shape).numpy())
        if len(sample["masks"]):
            sample["masks"][0][:2, :2] = 255  # a run of ones comes first
    samples[2]["bboxes"][1][2] = samples[2]["bboxes"][1][0]  # nothing is left of it: the processor drops it
    labels = TransformersCollate(CLASSES, processor=processor)(samples)["labels"]
    assert [len(target["masks"]) for target in labels] == [len(target["boxes"]) for target in labels] == [6, 0, 5]
    for target in labels:
        height, width = target["masks"].shape[1:]
        for number, (mask, (x, y, w, h)) in enumerate(zip(target["masks"], target["boxes"].tolist(), strict=True)):
            assert mask[0, 0] == (number == 0)
            mask = mask.clone()  # noqa: PLW2901
            mask[:4, :4] = 0
            rows, columns = mask.nonzero(as_tuple=True)
            if min(w * width, h * height) > 6 and x - w / 2 > 0.06 and y - h / 2 > 0.06:
                found = [columns.min() / width, rows.min() / height]
                found += [(columns.max() + 1) / width, (rows.max() + 1) / height]
                assert found == pytest.approx([x - w / 2, y - h / 2, x + w / 2, y + h / 2], abs=0.03)


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


def train(model, folder, schedule, resume=None, processor=None, side=SIDE, **settings):
    dataset, recording = sample_dataset(), Recording(schedule)
    mixer = pipeline(MixUp(dataset), A.Resize(side, side), A.HorizontalFlip(p=0.5), seed=0)
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
        data_collator=TransformersCollate(dataset.classes, processor=processor),
        callbacks=[ScheduleCallback(schedule), recording],
    ).train(resume_from_checkpoint=resume)
    return recording


@pytest.mark.parametrize("rule", ["interpolate", "scale"])
def test_training(rule, tmp_path):
    torch.manual_seed(0)
    model = models.rt_detr_v2()
    weight_loss(model, rule=rule)
    before = losses(model.train(), batch())
    recording = train(model, tmp_path, MixUpSchedule({0: 1.0}), num_train_epochs=5)
    assert len(recording.losses) == 20
    assert all(map(math.isfinite, recording.losses))
    assert sum(recording.losses[-5:]) < sum(recording.losses[:5])
    assert losses(model.train(), batch()) < 0.8 * before


def test_what_the_trainer_takes_away_is_named(tmp_path):
    dataset = sample_dataset()
    data = TransformedDataset(dataset, pipeline(MixUp(dataset)))
    arguments = transformers.TrainingArguments(str(tmp_path), use_cpu=True, report_to=[])
    trainer = transformers.Trainer(
        models.detr(), arguments, train_dataset=data, data_collator=TransformersCollate(CLASSES)
    )
    with pytest.raises(SampleError, match=r"samples must have image.*remove_unused_columns=False"):
        next(iter(trainer.get_train_dataloader()))


@pytest.mark.parametrize("build", NAMED, ids=lambda build: build.__name__)
def test_every_detector_trains_behind_a_processor(build, tmp_path):
    torch.manual_seed(0)
    model = build()
    weight_loss(model)
    made = TransformersCollate(CLASSES)([pipeline(A.Resize(128, 128))(**sample) for sample in sample_dataset()])
    before = measured(model, made)
    processor = transformers.RTDetrImageProcessor(size={"height": 128, "width": 128})
    recording = train(model, tmp_path, MixUpSchedule({0: 1.0}), processor=processor, side=100, num_train_epochs=6)
    assert len(recording.losses) == 24
    assert all(map(math.isfinite, recording.losses))
    assert measured(model, made) < before


def test_resumed_training_goes_on_with_its_schedule(tmp_path):
    def probabilities(epochs, resume):
        model = models.rt_detr_v2()
        weight_loss(model)
        schedule = MixUpSchedule({0: 1.0, 2: 0.0})
        return train(model, tmp_path, schedule, resume, num_train_epochs=epochs).probabilities

    assert probabilities(1, None) == [1.0] * 4
    assert probabilities(3, True) == [1.0] * 4 + [0.0] * 4
