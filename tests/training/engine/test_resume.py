"""A stopped run goes on as if nothing had happened."""

import numpy as np
import pytest
import torch

from gpcis_training.data.augment import AugmentOptions
from gpcis_training.data.folders import DataFolder
from gpcis_training.data.samples import SampleStream
from gpcis_training.engine.slots import ClickBatch, SlotSampler, SlotSchedule
from gpcis_training.engine.state import read_state
from napari_gpcis.errors import CheckpointError
from training._folders import write_disks
from training._runs import assert_same_weights, toy_config, train


@pytest.fixture
def root(tmp_path):
    write_disks(tmp_path / "disks")
    return tmp_path


# -- samples in slots ----------------------------------------------------------------


def test_every_sample_is_drawn_once_and_keeps_its_slot_as_long_as_it_should():
    schedule = SlotSchedule(5, 4, 3)
    seen = {}
    for _ in range(200):
        for index, step in zip(schedule.indices, schedule.steps, strict=True):
            assert seen.setdefault(index, -1) == step - 1
            seen[index] = step
        schedule.advance()
    finished = {i: step + 1 for i, step in seen.items() if i not in schedule.indices}
    assert sorted(seen) == list(range(max(seen) + 1))
    assert all(steps == schedule.duration(index) for index, steps in finished.items())
    durations = np.bincount(list(finished.values()), minlength=5)[1:]
    assert durations.sum() > 250
    assert (durations / durations.sum()).tolist() == pytest.approx([0.25] * 4, abs=0.08)


def test_the_sampler_lists_the_samples_that_the_slots_take():
    schedule = SlotSchedule(2, 6, 3, drawn=40)
    for _ in range(3):
        schedule.advance()
    for slots in (range(6), range(2), range(2, 6)):
        sampler = iter(SlotSampler(schedule, slots))
        ahead = schedule.copy()
        assert [next(sampler) for _ in slots] == [ahead.indices[k] for k in slots]
        for _ in range(30):
            new = [slot for slot in ahead.advance() if slot in slots]
            assert [next(sampler) for _ in new] == [ahead.indices[k] for k in new]


def test_slots_of_two_processes_are_those_of_one(root):
    """Each has its half of the slots; together they see what one would see."""
    stream = SampleStream(
        [DataFolder(root / "disks")], augment_options=AugmentOptions(size=32)
    )

    def click_batch(slots):
        schedule = SlotSchedule(1, 4, 2)
        sampler = SlotSampler(schedule, slots)
        return ClickBatch((stream[index] for index in sampler), schedule, slots)

    whole = click_batch(range(4))
    halves = [click_batch(range(2)), click_batch(range(2, 4))]
    answers = torch.rand(8, 4, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    for answer in answers:
        batch, parts = whole.batch(), [half.batch() for half in halves]
        for name in ("inputs", "target", "slot_step"):
            joined = torch.cat([getattr(part, name) for part in parts])
            assert torch.equal(joined, getattr(batch, name))
        for offset, part in enumerate(parts):
            for row in range(2):
                ours, theirs = (
                    sorted(
                        map(
                            tuple,
                            torch.cat([b.points, b.noise[..., None]], 2)[r].tolist(),
                        )
                    )
                    for b, r in ((batch, 2 * offset + row), (part, row))
                )
                assert [p for p in ours if p[0] >= 0] == [
                    p for p in theirs if p[0] >= 0
                ]
        whole.advance(answer)
        halves[0].advance(answer[:2])
        halves[1].advance(answer[2:])


# -- resuming ----------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("iteration", ["carry", "passes"])
def test_four_steps_and_six_are_ten(root, workers, iteration):
    config = toy_config(workers=workers, iteration=iteration)
    whole = train(config, root, root / "whole")
    train(config, root, root / "parts", until=4)
    torch.rand(3)
    np.random.default_rng().random()
    parts = train(config, root, root / "parts")
    assert parts.step == whole.step == 10
    assert parts.drawn == whole.drawn
    assert_same_weights(whole, parts)
    first, second = (read_state(run.state_file) for run in (whole, parts))
    for name, value in first["places"].items():
        assert torch.equal(value, second["places"][name])
    for key, entries in first["optimiser"]["state"].items():
        for name, value in entries.items():
            assert torch.equal(value, second["optimiser"]["state"][key][name])


def test_a_network_with_batch_norm_resumes_bit_by_bit(root):
    config = toy_config(network="mobilenet_v2", options={}, steps=5, batch_size=2)
    whole = train(config, root, root / "whole")
    train(config, root, root / "parts", until=2)
    assert_same_weights(whole, train(config, root, root / "parts"))


def test_a_run_is_a_function_of_its_seed(root):
    first = train(toy_config(steps=3), root, root / "first")
    torch.rand(1)
    assert_same_weights(first, train(toy_config(steps=3), root, root / "again"))
    other = train(toy_config(steps=3, seed=1), root, root / "other")
    assert not torch.equal(first.network.omega, other.network.omega)


def test_states_without_samples_in_flight_go_on_with_new_ones(root):
    """The form of version 0.1: model, optimiser, step, drawn, minutes, rng."""
    trainer = train(toy_config(), root, root / "run", until=4)
    state = read_state(trainer.state_file)
    del state["places"]
    state["rng"] = torch.get_rng_state()
    torch.save(state, trainer.state_file)
    resumed = train(toy_config(), root, root / "run", until=5)
    assert resumed.step == 5
    assert resumed.drawn >= state["drawn"] + 3
    held = read_state(resumed.state_file)["places"]
    assert int(held["index"].min()) >= state["drawn"]
    assert train(toy_config(), root, root / "run").step == 10


@pytest.mark.parametrize(
    "changes",
    [{"batch_size": 5}, {"batch_size": 1}, {"augment": AugmentOptions(size=64)}],
)
def test_a_run_may_go_on_with_another_batch_or_size(root, changes):
    train(toy_config(), root, root / "run", until=4)
    resumed = train(toy_config(**changes), root, root / "run")
    held = read_state(resumed.state_file)["places"]
    assert resumed.step == 10
    assert len(held["points"]) == changes.get("batch_size", 3)
    assert bool((held["turn"] < 4).all())


def test_a_damaged_state_is_refused(root):
    trainer = train(toy_config(), root, root / "run", until=1)
    whole = trainer.state_file.read_bytes()
    for content in (b"", b"nonsense", whole[: len(whole) // 2]):
        trainer.state_file.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"state\.pt' is damaged"):
            trainer.resume()
    torch.save([1, 2], trainer.state_file)
    with pytest.raises(CheckpointError, match="is a list, no state"):
        trainer.resume()
