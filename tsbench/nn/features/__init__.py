"""Feature blocks (row N21): from series to a fixed number of features, and the linear classifier on top of them.

A block is a module of (channels, length, FeaturesConfig) with the attribute `width`, the number of its features, and
`forward(x, valid)` from shape (cases, channels, steps) to (cases, width). One that must see the training cases first
has `prepare(x, valid, generator)`, which fills its buffers. A block without learned weights is computed once for each
case, before training; one with such weights is trained along, and drops units by `tsbench.nn.generators.Dropout`.

A new block is a file here and a line in `tsbench.recipe.registries.FEATURES`.
"""
