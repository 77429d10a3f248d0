"""One table for every adapter and rule: what a weight means to a loss, against arithmetic written out here."""

import copy
import functools

import pytest

torch = pytest.importorskip("torch")
for framework in ("torchvision", "transformers"):
    pytest.importorskip(framework)

from alb_mixup.errors import ArgumentError, MissingWeightsWarning, SampleError  # noqa: E402
from tests.integrations.detectors.table import detectors, spread  # noqa: E402

DETECTORS = detectors()
CASES = [pytest.param(each, rule, id=f"{each}-{rule}") for each in DETECTORS for rule in each.rules]


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Models this small are slower on several threads, much so beside other tests."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


every_case = pytest.mark.parametrize(("detector", "rule"), CASES)


def run(detector, model, batch):
    """Return the total, the terms and all parameters' gradients."""
    torch.manual_seed(1)
    model.zero_grad()
    total, terms = detector.losses(model, batch)
    total.backward()
    gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    return total.detach(), {key: term.detach() for key, term in terms.items()}, gradients


def with_weights(detector, batch, change):
    """Return a batch whose weights are changed: `change(weights)` for each image, or None for none at all."""
    batch = copy.deepcopy(batch)
    for target in detector.targets(batch):
        if change is None:
            del target["weights"]
        else:
            target["weights"] = change(target["weights"])
    return batch


def terms_of(detector, rule, batch):
    """Return the terms of a batch, whatever of weights they are divided by taken out of them again."""
    model = detector.model(rule)
    return detector.undivided(model, batch, run(detector, model, batch)[1])


def of_boxes(terms):
    """Return the terms that a weight multiplies: all but those of classes, of region proposals, and of the log."""
    others = ("vfl", "mal", "ce", "class", "cls", "sem", "classifier", "classification")
    others += ("cardinality", "objectness", "rpn", "ddf", "error")
    return {key: term for key, term in terms.items() if not any(set(key.split("_")) & {name} for name in others)} | {
        key: term for key, term in terms.items() if "mask_ce" in key
    }


@every_case
def test_all_ones_are_the_stock_loss_and_gradients_to_the_bit(detector, rule):
    ones = with_weights(detector, detector.batch(), torch.ones_like)
    none = with_weights(detector, ones, None)
    stock = run(detector, detector.model(), none)
    assert all(any(name in key for key in stock[1]) for name in (*detector.terms, *detector.stages))
    model = detector.model(rule)
    found = [run(detector, model, ones)]
    with pytest.warns(MissingWeightsWarning, match="targets must have weights .* got none"):
        found.append(run(detector, detector.model(rule), none))
    for total, terms, gradients in found:
        assert torch.equal(total, stock[0])
        assert terms.keys() == stock[1].keys()
        assert all(torch.equal(terms[key], stock[1][key]) for key in terms)
        assert len(gradients) == len(stock[2]) > 0
        assert all(map(torch.equal, gradients, stock[2]))


@every_case
def test_class_gradients_are_as_written_out(detector, rule):
    batch = detector.batch()
    spread(detector.targets(batch))
    torch.manual_seed(1)
    found = detector.locations(detector.model(rule), batch)
    assert len(found) > len(detector.stages)
    for each in found:
        matched = each.labels >= 0
        torch.testing.assert_close(each.gradient.double(), each.expected(rule), rtol=2e-4, atol=1e-7)
        ignored = matched & (each.weights == 0)
        if rule == "scale":
            assert not each.gradient[ignored].any()
        else:
            assert each.gradient[ignored].any(dim=1).all()
    weights = torch.cat([each.weights[each.labels >= 0] for each in found]).tolist()
    assert {0.0, 1.0} <= set(weights)
    assert len(set(weights)) == 4


@every_case
def test_box_and_mask_terms_are_multiplied(detector, rule):
    """By the same w for all boxes: so nothing that they are divided by knows weights, but what `undivided` says."""
    batch = detector.batch()
    fills = [functools.partial(torch.full_like, fill_value=weight) for weight in (1.0, 0.5, 0.0)]
    whole, half, nothing = (terms_of(detector, rule, with_weights(detector, batch, fill)) for fill in fills)
    boxes = of_boxes(whole)
    assert len(boxes) >= len(detector.terms) - 1
    for key, term in boxes.items():
        torch.testing.assert_close(half[key], 0.5 * term, rtol=1e-4, atol=1e-7)
        assert not nothing[key].any()
    assert sum(float(term.sum()) for term in boxes.values()) > 0


@every_case
def test_terms_are_straight_lines_in_a_weight(detector, rule):
    batch = with_weights(detector, detector.batch(), torch.ones_like)

    def terms_at(weight):
        changed = copy.deepcopy(batch)
        detector.targets(changed)[0]["weights"][2] = weight
        return terms_of(detector, rule, changed)

    nothing, third, one = terms_at(0.0), terms_at(0.3), terms_at(1.0)
    for key in [key for key in one if not any(name in key for name in detector.curved)]:
        torch.testing.assert_close(third[key], nothing[key] + 0.3 * (one[key] - nothing[key]), rtol=1e-4, atol=1e-5)
    differ = [key for key in one if not torch.equal(nothing[key], one[key])]
    assert all(any(name in key for key in differ) for name in detector.terms)


@every_case
def test_weights_go_with_their_boxes(detector, rule):
    batch = detector.batch()
    spread(detector.targets(batch))
    turned = copy.deepcopy(batch)
    for target in detector.targets(turned):
        count = len(target["weights"])
        per_box = [key for key, value in target.items() if value.ndim and len(value) == count and "size" not in key]
        target.update({key: target[key].flip(0) for key in per_box})
    one, other, stock, stock_other = (
        run(detector, detector.model(weighted), given)[1] for weighted in (rule, None) for given in (batch, turned)
    )
    close = functools.partial(torch.allclose, rtol=1e-4, atol=1e-5)
    same = [key for key in one if close(stock[key], stock_other[key])]  # the order decides where matches are equal
    assert any(detector.terms[0] in key for key in same)
    assert all(close(one[key], other[key]) for key in same)


@every_case
@pytest.mark.parametrize("empty", [(0, 1, 2), (0,)])
def test_images_without_boxes(detector, rule, empty):
    batch = detector.batch()
    spread(detector.targets(batch))
    for index in empty:
        target = detector.targets(batch)[index]
        count = len(target["weights"])
        per_box = [key for key, value in target.items() if value.ndim and len(value) == count and "size" not in key]
        target.update({key: target[key][:0] for key in per_box})
    if detector.needs_boxes and len(empty) == 3:
        for model in (detector.model(), detector.model(rule)):
            with pytest.raises(RuntimeError, match="scalar outputs"):  # the framework's own
                run(detector, model, batch)
        return
    total, _, gradients = run(detector, detector.model(rule), batch)
    assert total.isfinite()
    assert all(gradient.isfinite().all() for gradient in gradients)


@every_case
def test_autocast(detector, rule):
    batch = detector.batch()
    spread(detector.targets(batch))
    whole = with_weights(detector, batch, torch.ones_like)
    runs = ((None, whole), (rule, whole), (rule, batch))
    full = [run(detector, detector.model(weighted), given) for weighted, given in runs]
    models = [detector.model(weighted) for weighted, _ in runs]  # not in autocast, which would keep their first weights
    with torch.autocast("cpu", dtype=torch.bfloat16):
        stock, ones, half = (run(detector, model, given) for model, (_, given) in zip(models, runs, strict=True))
    assert torch.equal(ones[0], stock[0])
    assert half[0].isfinite()
    assert all(gradient.isfinite().all() for gradient in half[2])
    assert float(half[0] / stock[0]) == pytest.approx(float(full[2][0] / full[0][0]), rel=0.2)


@every_case
def test_accumulated_gradients_are_those_of_each_batch(detector, rule):
    batches = [detector.batch(), detector.batch()]
    spread(detector.targets(batches[0]))
    spread(detector.targets(batches[1]), (0.9, 0.2))
    model = detector.model(rule)
    for module in model.modules():  # whose statistics are a batch's own
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.momentum = 0.0
    alone = [run(detector, model, batch)[2] for batch in batches]
    model.zero_grad()
    for batch in batches:
        torch.manual_seed(1)
        detector.losses(model, batch)[0].backward()
    together = [p.grad for p in model.parameters() if p.grad is not None]
    for found, first, second in zip(together, *alone, strict=True):
        torch.testing.assert_close(found, first + second, rtol=1e-4, atol=1e-5)


@every_case
def test_too_few_weights_are_refused(detector, rule):
    batch = with_weights(detector, detector.batch(), lambda weights: weights[:-1])
    with pytest.raises(SampleError, match="weights must be one for each of"):
        detector.losses(detector.model(rule), batch)


@pytest.mark.parametrize("detector", DETECTORS, ids=repr)
def test_rules_are_checked_and_losses_weighted_once(detector):
    with pytest.raises(ArgumentError, match="rule must be one of interpolate, scale, got 'soft'"):
        detector.weight(detector.model(), "soft")
    if not detector.weighs_again:
        with pytest.raises(ArgumentError, match="must have"):
            detector.weight(detector.model("scale"), "scale")
        return
    batch, again = detector.batch(), detector.model("scale")
    spread(detector.targets(batch))
    detector.weight(again, "interpolate")
    assert torch.equal(run(detector, again, batch)[0], run(detector, detector.model("interpolate"), batch)[0])
