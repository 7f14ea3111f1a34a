import pytest
import torch
from recorded_nets import bert_scene, mlp_scene
from torch import nn

from reknit.errors import TableError
from reknit.skeleton.answers import tensors_in
from reknit.wiring.output_floor import output_floor
from reknit.wiring.recording import Recording


def true_values(scene):
    return {slot: scene.tensors[name] for slot, name in scene.truth.items()}


@pytest.mark.parametrize("scene", [mlp_scene(0), bert_scene(0)])
def test_the_true_tensors_have_no_error_and_others_do(scene):
    recording = Recording.of(scene.module, true_values(scene), scene.inputs, scene.outputs)
    assert recording.independent
    assert recording.error(true_values(scene)) < 1e-10
    placed = {slot: scene.tensors[name] for slot, name in scene.placement.items()}
    assert recording.error(placed) > 0.01


def test_an_answer_of_the_mean_has_error_one():
    module = nn.Linear(3, 4)
    x = torch.randn(50, 3)
    record = torch.randn(50, 4)
    constant = {"weight": torch.zeros(4, 3), "bias": torch.full((4,), float(record.mean()))}
    recording = Recording.of(module, constant, (x,), record)
    assert recording.error(constant) == pytest.approx(1, abs=1e-3)


def test_some_inputs_are_those_rows():
    scene = mlp_scene(0)
    values = {slot: scene.tensors[name] for slot, name in scene.placement.items()}
    recording = Recording.of(scene.module, values, scene.inputs, scene.outputs)
    rows = torch.tensor([4, 1])
    torch.testing.assert_close(recording.some(rows).residual(values), recording.residual(values)[rows])
    parts = list(recording.groups(4, 40, torch.Generator().manual_seed(0)))
    assert [len(part) for part in parts] == [2, 2, 2, 2]  # 8 inputs of 5 numbers


class Mean(nn.Module):
    def forward(self, x):
        return x - x.mean(0)


def test_inputs_that_depend_on_each_other_stay_together():
    x = torch.randn(6, 3)
    recording = Recording.of(Mean(), {}, (x,), x - x.mean(0))
    assert not recording.independent
    assert len(recording) == 1
    assert [len(part) for part in recording.groups(4, 10, torch.Generator())] == [1]


def test_a_module_in_float64_and_coarse_tensors_are_compared_in_float32():
    scene = mlp_scene(0)
    values = {slot: value.half() for slot, value in true_values(scene).items()}
    recording = Recording.of(scene.module.double(), values, (scene.inputs[0].double(),), scene.outputs)
    assert recording.answers({slot: value.float() for slot, value in values.items()}).dtype == torch.float32


def test_tensors_are_found_in_any_nest():
    a, b, c = torch.zeros(1), torch.ones(1), torch.ones(2)
    assert tensors_in((3, "name", {"n": 2.0})) == []
    assert [id(t) for t in tensors_in({"x": (a, None, [b]), "y": c})] == [id(a), id(b), id(c)]


@pytest.mark.parametrize(
    ("outputs", "sentence"),
    [
        (lambda y: (y, y), "2 recorded tensors, but the module answers with 1"),
        (lambda y: y[:, :2], r"recorded in the shape \(24, 2\), the module answers \(24, 5\)"),
        (lambda y: torch.where(y > y.median(), y, torch.nan), "they hold numbers that are undefined"),
    ],
)
def test_outputs_that_do_not_fit_are_refused(outputs, sentence):
    scene = mlp_scene(0)
    with pytest.raises(TableError, match=sentence):
        Recording.of(scene.module, true_values(scene), scene.inputs, outputs(scene.outputs))


def test_a_shape_that_does_not_fit_is_refused():
    scene = mlp_scene(0)
    with pytest.raises(TableError, match=r"recorded in the shape \(24, 2\), the module answers \(24, 5\)"):
        Recording.of(scene.module, true_values(scene), scene.inputs, scene.outputs[:, :2], "identity")


def test_rows_that_read_the_rows_before_them_are_not_independent():
    class Running(torch.nn.Module):
        """Each answer is the sum of all inputs so far: the first row alone gets the same answer."""

        def forward(self, x):
            return x.cumsum(0)

    x = torch.randn(6, 2, generator=torch.Generator().manual_seed(0))
    assert not Recording.of(Running(), {}, (x,), x.cumsum(0)).independent
    assert Recording.of(torch.nn.Identity(), {}, (x,), x).independent


def test_shares_of_nought_do_not_count():
    logits = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    shares = logits.softmax(1)
    shares[0] = torch.tensor([1.0, 0.0, 0.0])
    recording = Recording.of(torch.nn.Identity(), {}, (logits,), shares, "softmax")
    assert 0 <= recording.error({}) < 10


def test_what_a_module_makes_itself_is_computed_in_double_precision_too():
    class FromZero(torch.nn.Module):
        """Adds to a state of zeros that it makes."""

        def forward(self, x):
            state = torch.zeros(x.shape[1], x.shape[1])
            return x @ (state + 1.0)

    x = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    recording = Recording.of(FromZero(), {}, (x,), FromZero()(x))
    assert output_floor(recording, {}).largest <= 1
    assert torch.get_default_dtype() == torch.float32


def masked(y):
    """Every second logit of the first rows is masked."""
    hidden = torch.zeros_like(y, dtype=torch.bool)
    hidden[:6, ::2] = True
    return hidden


class Masked(torch.nn.Module):
    """A module whose first logits are masked."""

    def __init__(self, module, fill=-torch.inf):
        super().__init__()
        self.blocks, self.head, self.whole, self.fill = module.blocks, module.head, [module], fill

    def forward(self, x):
        y = self.whole[0](x)
        return y.masked_fill(masked(y), self.fill)


def test_masked_logits_count_for_nothing_in_the_search_and_have_to_be_masked_in_the_proof():
    scene = mlp_scene(0)
    values = true_values(scene)
    record = Masked(scene.module)(*scene.inputs)
    placed = {slot: scene.tensors[name] for slot, name in scene.placement.items()}
    same = Recording.of(Masked(scene.module), values, scene.inputs, record)
    assert same.error(values) < 1e-10
    assert 0.01 < same.error(placed) < torch.inf
    assert output_floor(same, values).largest <= 1
    (part,) = output_floor(same, values).parts
    assert part.count == int(record.isfinite().sum()) < record.numel()
    for other in (scene.module, Masked(scene.module, torch.inf), Masked(scene.module, -1e30)):
        assert output_floor(Recording.of(other, values, scene.inputs, record), values).largest == torch.inf
    unmasked = Recording.of(Masked(scene.module), values, scene.inputs, scene.outputs)
    assert output_floor(unmasked, values).largest == torch.inf


def labels_of(scene, k):
    return scene.outputs.topk(k, -1).indices


@pytest.mark.parametrize("k", [1, 2, 5])
def test_labels_of_the_true_network_are_not_contradicted_and_equal_answers_have_error_one(k):
    scene = mlp_scene(0)
    recording = Recording.of(scene.module, true_values(scene), scene.inputs, labels_of(scene, k), "top-k")
    (part,) = output_floor(recording, true_values(scene)).parts
    assert (part.contradicted, part.max_abs, part.count) == (0, 0, 24 * min(k, 4))
    assert recording.error(true_values(scene)) < 0.1
    equal = {**true_values(scene), "head.weight": torch.zeros(5, 12), "head.bias": torch.zeros(5)}
    assert recording.error(equal) == pytest.approx(1, abs=1e-4)
    few = recording.tuned(true_values(scene)).some(torch.tensor([3, 1]))
    whole = recording.tuned(true_values(scene)).residual(true_values(scene))
    torch.testing.assert_close(few.residual(true_values(scene)), whole[torch.tensor([3, 1])])


def test_labels_that_are_contradicted_are_counted():
    scene = mlp_scene(0)
    labels = scene.outputs.argmax(1)
    labels[:3] = scene.outputs[:3].argmin(1)
    recording = Recording.of(scene.module, true_values(scene), scene.inputs, labels)
    assert output_floor(recording, true_values(scene)).contradicted == 3
    noisy = output_floor(recording, true_values(scene), noise=float(scene.outputs.std()))
    assert noisy.contradicted == 0


def test_the_noise_of_a_label_is_its_share_of_the_error():
    scene = mlp_scene(0)
    recording = Recording.of(scene.module, true_values(scene), scene.inputs, scene.outputs.argmax(1))
    deviance = recording.observed[0].compared(scene.outputs).square().sum()
    assert recording.error(true_values(scene)) == pytest.approx(float(deviance) * recording.label_noise, rel=1e-3)
    assert Recording.of(scene.module, true_values(scene), scene.inputs, scene.outputs).label_noise is None


class Two(torch.nn.Module):
    """Logits, and their mean."""

    def __init__(self, module):
        super().__init__()
        self.blocks, self.head, self.whole = module.blocks, module.head, [module]

    def forward(self, x):
        y = self.whole[0](x)
        return y, y.mean(1, keepdim=True)


def test_each_output_has_its_own_link():
    scene = mlp_scene(0)
    labels, means = scene.outputs.argmax(1), scene.outputs.mean(1, keepdim=True)
    for link in (None, ("top-k", "identity")):
        recording = Recording.of(Two(scene.module), true_values(scene), scene.inputs, (labels, means), link)
        assert recording.has_orders
        assert recording.label_noise is None
        assert output_floor(recording, true_values(scene)).largest <= 1
    with pytest.raises(TableError, match="2 links, but the module answers with 1 tensors"):
        Recording.of(scene.module, true_values(scene), scene.inputs, labels, ("top-k", "identity"))


@pytest.mark.parametrize("last", [torch.nn.Sigmoid, torch.nn.Identity])
def test_sides_of_a_threshold_are_those_of_logits_or_of_probabilities(last):
    module = torch.nn.Sequential(torch.nn.Linear(3, 1), last()).requires_grad_(False)
    x = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    values = {"0.weight": torch.tensor([[0.2, -0.1, 0.1]]), "0.bias": torch.tensor([0.01])}
    module.load_state_dict(values)
    logits = torch.nn.functional.linear(x, *values.values())
    start = {"0.weight": torch.zeros(1, 3), "0.bias": torch.tensor([0.3])}  # logits that might be probabilities
    recording = Recording.of(module, start, (x,), logits[:, 0] > 0)
    assert output_floor(recording, values).contradicted == 0
    turned = {key: -value for key, value in values.items()}
    assert output_floor(recording, turned).contradicted == 40


def test_a_tie_is_no_contradiction_whichever_of_the_two_was_recorded():
    x = torch.tensor([[1.0, 1.0, 0.0], [2.0, 2.0, 1.0]])
    for labels in ([0, 0], [1, 1], [0, 1]):
        recording = Recording.of(torch.nn.Identity(), {}, (x,), torch.tensor(labels))
        assert output_floor(recording, {}).contradicted == 0
    recording = Recording.of(torch.nn.Identity(), {}, (x,), torch.tensor([2, 0]))
    assert output_floor(recording, {}).contradicted == 1


@pytest.mark.parametrize("change", [lambda y: y.argmax(1), lambda y: y > 0], ids=["int64", "bool"])
@pytest.mark.parametrize("link", [None, "identity", "top-k"])
def test_a_module_that_answers_no_real_numbers_is_refused_by_that_name(change, link, request):
    scene = mlp_scene(0)

    class Whole(Masked):
        def forward(self, x):
            return change(self.whole[0](x))

    dtype = request.node.callspec.id.split("-")[-1]
    with pytest.raises(TableError, match=rf"outputs: the module answers whole numbers or truth values \({dtype}\)"):
        Recording.of(Whole(scene.module), true_values(scene), scene.inputs, scene.outputs.argmax(1).float(), link)


def test_no_rows_are_refused():
    scene = mlp_scene(0)
    for x, y, where in (
        (scene.inputs[0][:0], scene.outputs[:0], "inputs"),
        (*scene.inputs, scene.outputs[:0], "outputs"),
    ):
        with pytest.raises(TableError, match=f"{where}: they are empty"):
            Recording.of(scene.module, true_values(scene), (x,), y)
