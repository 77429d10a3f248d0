"""Partners are drawn as often as their weights say, from the stream that was there before."""

import json
import multiprocessing
import pickle
from collections import Counter
from fractions import Fraction
from itertools import accumulate

import albumentations as A
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alb_mixup import (
    Background,
    CachedDataset,
    ClassWeights,
    DiskCache,
    MixUp,
    MosaicDataset,
    RecentSamples,
    RepeatFactor,
    VocDataset,
)
from alb_mixup.datasets.partner_weights import Numbers
from alb_mixup.errors import ArgumentError, SampleError
from alb_mixup.transforms.draws import WeightedDraws
from tests.datasets.test_partner_weights import HELD, background, class_weights, in_memory, repeat_factors
from tests.support.samples import Flaky, pipeline, same, sample
from tests.support.voc_files import add, picture, voc_object
from tests.transforms.test_workers import METHODS

DRAWS = 100_000
LAWS = [
    (RepeatFactor(0.9), lambda held: repeat_factors(held, 0.9)),
    (
        ClassWeights({"zebra": 4, "cat": 0.5}, default=2.0),
        lambda held: class_weights(held, {"zebra": 4, "cat": 0.5}, 2),
    ),
    (Background(0.3), lambda held: background(held, 0.3)),
]


@pytest.fixture(scope="module")
def voc(tmp_path_factory):
    root = tmp_path_factory.mktemp("voc")
    for index, names in enumerate(HELD):
        objects = [voc_object(name, (3 + i, 4, 20 + i, 15)) for i, name in enumerate(names)]
        add(root, f"{index}", *objects, image=picture(seed=index))
    return VocDataset(root)


def drawn_indices(mixup, count, own=None, seed=0):
    """The indices of so many draws, no sample being read."""
    data, generator = {"image": np.zeros((2, 2, 3), np.uint8)}, np.random.default_rng(seed)
    data |= {} if own is None else {"mixup_index": own}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("alb_mixup.transforms.reference.read", lambda *_: ({}, None))
        return [mixup.draw(data, generator)[0]["reference_index"] for _ in range(count)]


def assert_drawn_by(weights, indices):
    """Chi-square: as far from what is expected as one run in 10,000; what has no weight is never drawn."""
    counts = np.bincount(indices, minlength=len(weights))
    expected = len(indices) * np.asarray(weights) / np.sum(weights)
    assert not counts[expected == 0].any()
    counts, expected = counts[expected > 0], expected[expected > 0]
    freedom = len(counts) - 1
    largest = freedom * (1 - 2 / (9 * freedom) + 3.72 * (2 / (9 * freedom)) ** 0.5) ** 3  # Wilson and Hilferty
    assert ((counts - expected) ** 2 / expected).sum() < largest


# --- how often ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("law", "by_hand"), LAWS, ids=[repr(law) for law, _ in LAWS])
def test_draws_follow_a_law(law, by_hand, voc):
    weights = by_hand(HELD)
    indices = drawn_indices(MixUp(voc, partner_weights=law), DRAWS)
    assert_drawn_by(weights, indices)
    weights[5] *= 1.1
    with pytest.raises(AssertionError):  # the test itself sees a tenth more of one image
        assert_drawn_by(weights, indices)


@pytest.mark.parametrize(("law", "by_hand"), LAWS[:2], ids=[repr(law) for law, _ in LAWS[:2]])
def test_draws_follow_a_law_through_caches_and_mosaics(law, by_hand, voc, tmp_path):
    cached = CachedDataset(voc, 10**6)
    for reference in (cached, DiskCache(voc, tmp_path / "images.cache"), MosaicDataset(cached)):
        assert_drawn_by(by_hand(HELD), drawn_indices(MixUp(reference, partner_weights=law), DRAWS))


def test_draws_follow_numbers_in_any_container():
    numbers = [0.0, 2.0, 0.5, 7.0, 0.0]
    for values in (numbers, tuple(numbers), np.array(numbers, np.float32)):
        assert_drawn_by(numbers, drawn_indices(MixUp(in_memory([[]] * 5), partner_weights=values), DRAWS))


def test_a_rare_class_of_a_long_tail_is_drawn_as_often_as_the_law_says():
    generator = np.random.default_rng(5)
    odds = 1 / np.arange(1, 41) ** 1.6
    sizes = generator.integers(0, 5, size=2000)
    held = [[f"class {c}" for c in generator.choice(40, size=size, p=odds / odds.sum())] for size in sizes]
    rarest = min(Counter(name for names in held for name in set(names)).items(), key=lambda pair: pair[::-1])[0]
    weights = np.array(repeat_factors(held, 0.05))
    with_it = np.array([rarest in names for names in held])
    said = weights[with_it].sum() / weights.sum()
    assert said > 2.5 * with_it.mean()
    indices = drawn_indices(MixUp(in_memory(held), partner_weights=RepeatFactor(0.05)), DRAWS)
    error = (said * (1 - said) / DRAWS) ** 0.5
    assert abs(with_it[indices].mean() - said) < 4 * error
    assert_drawn_by(weights, indices)


# --- not the primary ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("own", [0, 5, 9])
def test_the_others_keep_their_odds_where_the_primary_is_left_out(own, voc):
    for law, by_hand in LAWS:
        weights = by_hand(HELD)
        weights[own] = 0.0
        assert_drawn_by(weights, drawn_indices(MixUp(voc, partner_weights=law), DRAWS // 3, own=own))


def test_the_only_weight_being_the_primarys_own_is_refused_on_the_call():
    reference = [sample(number) for number in range(3)]
    mixer = pipeline(MixUp(reference, partner_weights=[0.0, 5.0, 0.0], p=1.0))
    assert mixer(**sample(0), mixup_index=0)
    says = r"partner_weights must leave a sample to draw beside the primary itself, got 0 for all but reference\[1\]"
    with pytest.raises(SampleError, match=says):
        mixer(**sample(1), mixup_index=1)
    alone = pipeline(MixUp(reference[:1], partner_weights=[5.0], p=1.0))
    assert len(alone(**sample(0), mixup_index=0)["labels"]) == 4  # as without weights


def bounds(numbers, but):
    """Between which shares each position lies, in exact arithmetic."""
    exact = [Fraction(0) if index == but else Fraction(number) for index, number in enumerate(numbers)]
    total, ends = sum(exact), list(accumulate(exact))
    return [(float((end - own) / total), float(end / total)) for end, own in zip(ends, exact, strict=True)]


@given(
    numbers=st.lists(st.one_of(st.just(0.0), st.floats(1e-12, 1.0), st.floats(0.5, 1.0)), min_size=1, max_size=30),
    share=st.one_of(st.floats(0, 1, exclude_max=True), st.sampled_from([0.0, 1 - 2**-53, 0.5])),
    chosen=st.integers(0, 30),
)
def test_any_weights_are_drawn_exactly(numbers, share, chosen):
    but = None if chosen >= len(numbers) else chosen
    own = [] if but is None else [but]
    if not any(numbers):
        return
    draws = WeightedDraws.by(Numbers(numbers), in_memory([[]] * len(numbers)))
    if not any(number for index, number in enumerate(numbers) if index != but):
        with pytest.raises(SampleError, match="must leave a sample to draw"):
            draws.position(share, len(numbers), own)
        return
    index = draws.position(share, len(numbers), own)
    assert numbers[index] > 0
    assert index != but
    low, high = bounds(numbers, but)[index]
    assert low - 1e-14 <= share <= high + 1e-14


def test_what_is_left_out_loses_no_weight_however_large_it_is():
    """Sums with the gap taken out of them would have lost the small ones."""
    reference = in_memory([[]] * 4)
    mixup = MixUp(reference, partner_weights=[1e-15, 1e-15, 1.0, 2e-15])
    assert_drawn_by([1, 1, 0, 2], drawn_indices(mixup, DRAWS, own=2))


# --- the stream ---------------------------------------------------------------------------------------------------


def records(calls=40, **settings):
    """λ, index and seed of every call of a seeded pipeline."""
    reference = Flaky([sample(number) for number in range(9)], unreadable={4})
    mixer = pipeline(MixUp(reference, max_redraws=50, p=0.8, **settings), save_applied_params=True, seed=3)
    found = []
    for number in range(calls):
        mixer(**sample(), **({"mixup_index": number % 9} if number % 2 else {}))
        found.append(dict(mixer.transforms[0].get_applied_params()))
    return found


@pytest.mark.filterwarnings("ignore:MixUp draws another sample")
def test_equal_weights_draw_what_none_draws_redraws_included():
    """So all come from the same numbers of the same stream, one for each try."""
    assert records(partner_weights=[2.0] * 9) == records()
    assert records(partner_weights=[1.0] * 8 + [3.0]) != records()


def test_without_weights_an_index_is_what_it_was_before():
    generator = np.random.default_rng(8)
    expected = []
    for _ in range(100):
        generator.beta(1.5, 1.5), generator.random()
        expected.append(int(generator.random() * 10))
    assert drawn_indices(MixUp(in_memory(HELD)), 100, seed=8) == expected


def indices_of(mixer, calls=40):
    found = []
    for _ in range(calls):
        mixer(**sample(99))
        found.append(mixer.transforms[0].get_applied_params()["reference_index"])
    return found


def weighted(weights=(1, 0, 0, 2), **settings):
    reference = [sample(number) for number in range(len(weights))]
    return pipeline(MixUp(reference, partner_weights=weights, p=1.0), seed=4, save_applied_params=True, **settings)


def test_ranks_that_are_seeded_alike_differ_and_repeat(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    runs = []
    for rank in ("0", "0", "1"):
        monkeypatch.setenv("RANK", rank)
        runs.append(indices_of(pickle.loads(pickle.dumps(weighted()))))
    assert runs[0] == runs[1] != runs[2]
    assert {*runs[0], *runs[2]} == {0, 3}


def send_indices(mixer, sender):
    sender.send(indices_of(mixer))


@pytest.mark.parametrize("method", METHODS)
def test_workers_draw_by_the_same_weights(method):
    """A spawned one maps the sums that its parent has written to a file."""
    context = multiprocessing.get_context(method)
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=send_indices, args=(weighted(), sender))
    process.start()
    sender.close()
    assert {*receiver.recv()} == {0, 3}
    process.join()


# --- saved and replayed -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weights", [*(law for law, _ in LAWS), [0.5] * 9 + [4.0]], ids=lambda value: repr(value)[:20])
@pytest.mark.parametrize("data_format", ["json", "yaml"])
def test_a_saved_pipeline_draws_alike(weights, data_format, voc, tmp_path):
    mixer = pipeline(MixUp(voc, partner_weights=weights, p=1.0), seed=6, save_applied_params=True)
    A.save(mixer, tmp_path / "pipeline", data_format=data_format)
    loaded = A.load(tmp_path / "pipeline", data_format=data_format)
    loaded.set_random_seed(6)
    assert loaded.transforms[0].partner_weights.to_spec() == mixer.transforms[0].partner_weights.to_spec()
    one, other = ([made(**voc[index]) for index in range(5)] for made in (mixer, loaded))
    assert [out["labels"] for out in one] == [out["labels"] for out in other]
    assert len(json.dumps(A.to_dict(pipeline(MixUp(voc, partner_weights=weights))))) < 3000


def test_the_repr_of_many_numbers_is_short_and_of_a_law_reads_as_code():
    reference = in_memory([[]] * 10_000)
    text = repr(pipeline(MixUp(reference, partner_weights=np.ones(10_000))))
    assert "partner_weights=<10,000 numbers>" in text
    assert len(text) < 3000
    assert "partner_weights=RepeatFactor(threshold=0.5)" in repr(MixUp(reference, partner_weights=RepeatFactor(0.5)))


@pytest.mark.parametrize("weights", [RepeatFactor(0.5), [1.0, 0.0, 2.0]], ids=repr)
def test_a_record_is_what_it_was_and_replays(weights):
    reference = [sample(number) for number in range(3)]
    params = A.BboxParams("pascal_voc", label_fields=["labels", "mixup_weight"])
    mixer = A.ReplayCompose([MixUp(reference, partner_weights=weights, p=1.0)], bbox_params=params)
    mixer.set_random_seed(1)
    out = mixer(**sample(7))
    replay = out.pop("replay")
    record = replay["transforms"][0]["params"]
    assert set(record.get("params", record)) == {"ratio", "reference_index", "seed"}
    again = A.ReplayCompose.replay(replay, **sample(7))
    assert same({key: again[key] for key in out}, out)


# --- references that weights do not fit ---------------------------------------------------------------------------


@pytest.mark.parametrize("weights", [RepeatFactor(), [1.0]], ids=repr)
@pytest.mark.parametrize("reference", [None, RecentSamples()], ids=["none", "recent"])
def test_samples_that_do_not_stay_are_refused(weights, reference):
    with pytest.raises(ArgumentError, match="partner_weights must come with a reference whose samples stay where they"):
        MixUp(reference, partner_weights=weights)


def test_a_reference_that_has_grown_or_shrunk_is_refused():
    reference = [sample(number) for number in range(3)]
    mixer = pipeline(MixUp(reference, partner_weights=[1, 1, 2], p=1.0))
    mixer(**sample(9))
    for change in (reference.pop, lambda: reference.extend([sample(4)] * 2)):
        change()
        with pytest.raises(SampleError, match="reference must keep the 3 samples that partner_weights were made for"):
            mixer(**sample(9))


def test_weights_are_the_transforms_own():
    given = np.array([0.0, 1.0])
    mixup = MixUp(in_memory([[], []]), partner_weights=given)
    given[:] = [1.0, 0.0]
    assert set(drawn_indices(mixup, 20)) == {1}
    assert isinstance(mixup.partner_weights, Numbers)
