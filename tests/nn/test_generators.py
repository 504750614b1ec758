import threading

import pytest
import torch
from torch import nn

from tsbench.nn.generators import Dropout, drawing_from, initialising_from


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def layers():
    return nn.Sequential(
        nn.Linear(5, 4),
        nn.Conv1d(4, 3, 2),
        nn.LSTM(3, 2),
        nn.GRU(3, 2),
        nn.MultiheadAttention(4, 2),
        nn.Embedding(3, 4),
    )


def weights(module):
    return torch.cat([parameter.detach().flatten() for parameter in module.parameters()])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9, 1.0])
def test_n16_on_a_cpu_dropout_gives_the_bits_of_pytorchs_with_the_same_stream(p, dtype):
    x = torch.randn(7, 33, generator=seeded(1)).to(dtype)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        expected = [nn.Dropout(p)(x) for _ in range(3)]
    dropout = Dropout(p)
    with drawing_from(seeded(5), dropout):
        assert all(torch.equal(dropout(x), each) for each in expected)


def test_dropout_passes_gradients_to_the_units_it_keeps():
    x = torch.ones(1000, requires_grad=True)
    dropout = Dropout(0.25)
    with drawing_from(seeded(), dropout):
        y = dropout(x)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())
    assert abs((y == 0).double().mean().item() - 0.25) < 4 * (0.25 * 0.75 / 1000) ** 0.5


def test_dropout_neither_reads_nor_changes_the_global_generator_and_draws_nothing_in_evaluation():
    generator, dropout = seeded(), Dropout(0.5)
    module = nn.Sequential(nn.Linear(2, 2), dropout)
    before = torch.get_rng_state()
    with drawing_from(generator, module):
        dropout(torch.ones(9))
        drawn = generator.get_state()
        assert torch.equal(dropout.eval()(torch.ones(9)), torch.ones(9))
        assert torch.equal(generator.get_state(), drawn)
    assert torch.equal(torch.get_rng_state(), before)
    assert dropout.generator is None


def test_the_generator_is_taken_back_after_an_error():
    dropout = Dropout(0.5)
    with pytest.raises(KeyError), drawing_from(seeded(), dropout):
        raise KeyError
    assert dropout.generator is None


def test_initial_weights_are_those_of_pytorchs_own_stream():
    with torch.random.fork_rng():
        torch.manual_seed(3)
        expected = weights(layers())
    before = torch.get_rng_state()
    with initialising_from(seeded(3)):
        assert torch.equal(weights(layers()), expected)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    "draw",
    [
        lambda: nn.init.trunc_normal_(torch.empty(9)),
        lambda: nn.init.orthogonal_(torch.empty(3, 3)),
        lambda: nn.init.kaiming_normal_(torch.empty(3, 3)),
        lambda: nn.init.xavier_uniform_(torch.empty(3, 3)),
        lambda: nn.init.sparse_(torch.empty(5, 3), 0.5),
        lambda: torch.rand(3) + torch.randn(3) + torch.randperm(3) + torch.randint(5, (3,)),
        lambda: torch.normal(torch.zeros(3), torch.ones(3)) + torch.bernoulli(torch.full((3,), 0.5)),
        lambda: torch.empty(9).exponential_() + torch.empty(9).geometric_(0.5) + torch.empty(9).random_(),
    ],
)
def test_whatever_initialises_a_block_draws_from_the_generator(draw):
    before = torch.get_rng_state()
    with initialising_from(seeded(2)):
        first = draw()
    with initialising_from(seeded(2)):
        same, more = draw(), draw()
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, same)
    assert not torch.equal(same, more)


def test_a_generator_that_a_call_names_itself_stays():
    with initialising_from(seeded(2)):
        assert torch.equal(torch.rand(4, generator=seeded(9)), torch.rand(4, generator=seeded(9)))


def test_other_threads_still_draw_from_the_global_generator():
    drawn = []
    with torch.random.fork_rng():
        torch.manual_seed(4)
        expected = torch.rand(3)
        torch.manual_seed(4)
        with initialising_from(seeded()):
            other = threading.Thread(target=lambda: drawn.append(torch.rand(3)))
            other.start()
            other.join()
    assert torch.equal(drawn[0], expected)
