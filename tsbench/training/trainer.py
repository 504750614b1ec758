"""Trains a list of jobs of one shape together, epoch by epoch: the folds of a trial, or the seeds of a refit.

Data are on the device as whole tensors, without a loader; larger data are loaded mini-batch by mini-batch. Each job has
its own generators, so that its result depends neither on the jobs that it is trained
beside nor on other threads, and torch's global generator is not touched.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tsbench.nn.features.ridge import MAX_CASES
from tsbench.nn.generators import drawing_from
from tsbench.nn.network import build_network
from tsbench.training.augmentation import augment, mixing
from tsbench.training.inference import DivergedError, fixed_features
from tsbench.training.jobs import EpochRecord, Job
from tsbench.training.losses import class_weights, cross_entropy
from tsbench.training.schedules import Schedule

__all__ = ["train"]

MAX_PREPARED_WITH = 2048
"""Cases that feature blocks are prepared with if not all are in memory."""


def train(
    jobs: Sequence[Job],
    device: str = "cpu",
    on_epoch: Callable[[int], None] | None = None,
    accumulation_steps: int = 1,
) -> None:
    """Trains every job's network; afterwards `job.network` holds it in evaluation mode, `job.history` its epochs.

    Args:
        jobs: trained together, one epoch each in turn, for each job's number of epochs.
        device: a torch device, `cpu` or `cuda:0`.
        on_epoch: called after each epoch of all jobs with the number of epochs done; may raise to end the training.
        accumulation_steps: parts of a mini-batch whose gradients are added up; more parts need less memory, and
            change the statistics of batch normalisation.

    Raises:
        DivergedError: a training loss, or a weight at the end, is NaN or infinite.
        torch.OutOfMemoryError: the device has too little memory.
    """
    fits = [_Fit(job, torch.device(device), accumulation_steps) for job in jobs]
    for epoch in range(1, max((job.training.epochs for job in jobs), default=0) + 1):
        for fit in fits:
            if epoch <= fit.training.epochs:
                fit.run_epoch()
        if on_epoch is not None:
            on_epoch(epoch)
    for fit in fits:
        fit.finish()


class _Fit:
    """One job under training: network, optimiser, schedule and random streams."""

    def __init__(self, job: Job, device: torch.device, accumulation_steps: int = 1) -> None:
        self.job = job
        self.accumulation_steps = accumulation_steps
        self.training = training = job.training
        self.device = device
        self.values, self.lengths = job.series.tensors(device)
        self.targets = torch.from_numpy(job.targets).to(device)
        channels, length = self.values.shape[1:]
        job.network = self.network = build_network(job.model, channels, job.classes, length, job.seed).to(device)
        self.generators = job.generators(device)
        self.held_out: Tensor | None = None
        self.cases = torch.arange(len(job.targets))
        if training.checkpoint == "validation_loss":
            self.cases, held_out = _held_out(job.targets, training.validation_share, self.generators.order, job.groups)
            self.held_out = held_out.to(device) if len(held_out) else None
        train_index = self.cases.to(device)
        prepared = train_index if isinstance(self.values, Tensor) else _some_of(train_index, job.seed)
        self.network.prepare(self.values[prepared], None if self.lengths is None else self.lengths[prepared], job.seed)
        self.features = fixed_features(self.network, job.series)
        self.solve(train_index)
        self.network.train()
        self.parameters = [p for p in self.network.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=training.learning_rate, weight_decay=training.weight_decay, fused=True
        )
        self.batches = _batch_sizes(len(self.cases), training.batch_size)
        self.passes = -(-training.min_steps // (training.epochs * len(self.batches))) or 1
        self.schedule = Schedule(self.optimizer, training, self.passes * len(self.batches))
        self.loss = cross_entropy(self.targets[train_index], job.classes, training)
        self.autocast = training.precision == "bfloat16" or (
            training.precision == "auto" and device.type == "cuda" and _has_bfloat16(device)
        )
        self.lowest_loss = float("inf")
        self.kept: dict[str, Tensor] | None = None
        self.averaged = 0

    def solve(self, cases: Tensor) -> None:
        """Fits the feature branch in closed form if configured and possible."""
        branch = self.network.feature_branch
        config = self.job.model.features
        if branch is None or self.features is None or config.head != "ridge" or len(cases) > MAX_CASES:
            return
        targets = self.targets[cases]
        weights = class_weights(targets, self.job.classes) if self.training.class_weights == "balanced" else None
        groups = None if self.job.groups is None else torch.from_numpy(self.job.groups).to(self.device)[cases]
        branch.solve(
            self.features[cases],
            targets,
            self.job.classes,
            None if weights is None else weights[targets],
            groups,
        )

    def run_epoch(self) -> None:
        total = torch.zeros((), device=self.device)
        with drawing_from(self.generators.noise, self.network):
            for _ in range(self.passes):
                order = self.cases[torch.randperm(len(self.cases), generator=self.generators.order)].to(self.device)
                for cases in torch.split(order, self.batches):
                    total += self.run_step(cases) * self.weight_of(cases)
        self.end_epoch(float(total / (self.weight_of(order) * self.passes)))

    @property
    def solved(self) -> bool:
        """Whether only the learned branch is trained."""
        branch = self.network.feature_branch
        return branch is not None and branch.solved

    def weight_of(self, cases: Tensor) -> Tensor | int:
        """The weight of a batch in a mean of losses: its cases, or their class weights if there are any."""
        return len(cases) if self.loss.weight is None else self.loss.weight[self.targets[cases]].sum()

    def run_step(self, cases: Tensor) -> Tensor:
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.back_propagate(cases)
        if self.training.max_gradient_norm is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.training.max_gradient_norm)
        self.rate = self.schedule.rate
        self.optimizer.step()
        self.schedule.step()
        return loss

    def back_propagate(self, cases: Tensor) -> Tensor:
        """Adds the gradients of some cases' mean loss, and returns it."""
        if self.accumulation_steps == 1 or len(cases) < 2 * self.accumulation_steps:
            loss = self.loss_of(cases)
            loss.backward()  # type: ignore[no-untyped-call]
            return loss.detach()
        total = torch.zeros((), device=self.device)
        whole = self.weight_of(cases)
        for part in torch.chunk(cases, self.accumulation_steps):
            loss = self.loss_of(part) * (self.weight_of(part) / whole)
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        return total

    def loss_of(self, cases: Tensor) -> Tensor:
        """The mean loss of some cases, augmented."""
        config = self.training.augmentation
        lengths = None if self.lengths is None else self.lengths[cases]
        features = None if self.solved else self.features_of(cases, lengths)
        x, targets = augment(self.values[cases], lengths, config, self.generators.noise), self.targets[cases]
        if not config.mixup:
            return self.branch_loss(x, lengths, features, targets)
        share, partner = mixing(len(cases), config.mixup, self.generators.noise)
        x = share * x + (1 - share) * x[partner]
        features = None if features is None else share * features + (1 - share) * features[partner]
        lengths = None if lengths is None else torch.maximum(lengths, lengths[partner])
        return self.branch_loss(x, lengths, features, targets, targets[partner], share)

    def features_of(self, cases: Tensor, lengths: Tensor | None) -> Tensor | None:
        """Their features of the unchanged series in full precision, cached or computed again.

        None if they are learned, and so computed by the network.
        """
        if self.features is not None:
            return self.features[cases]
        return self.network.fixed_features(self.values[cases], lengths)

    def branch_loss(
        self,
        x: Tensor,
        lengths: Tensor | None,
        features: Tensor | None,
        targets: Tensor,
        others: Tensor | None = None,
        share: float = 1.0,
    ) -> Tensor:
        """The sum of the branches' losses, so that neither branch relies on the other."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast):
            if self.solved:
                branches = self.network.learned(x, lengths).unsqueeze(0)
            else:
                branches = self.network.branches(x, lengths, features)
        total = torch.zeros((), device=self.device)
        for logits in branches.float():
            loss = self.loss(logits, targets)
            if others is not None:
                loss = share * loss + (1 - share) * self.loss(logits, others)
            total = total + loss
        return total

    def end_epoch(self, loss: float) -> None:
        if not np.isfinite(loss):
            raise DivergedError(f"the training loss became {loss} in epoch {len(self.job.history) + 1}")
        self.schedule.end_epoch(loss)
        self.job.history.append(EpochRecord(loss, self.rate))
        checkpoint = self.training.checkpoint
        if checkpoint == "average":
            if len(self.job.history) > self.training.epochs * 3 // 4:
                self.average_weights()
        elif checkpoint != "last":
            if self.held_out is not None:
                loss = self.validation_loss()
            if loss < self.lowest_loss:
                self.lowest_loss = loss
                self.kept = {name: value.detach().clone() for name, value in self.network.state_dict().items()}

    def average_weights(self) -> None:
        """Updates the mean of weights and batch-normalisation statistics with this epoch's."""
        self.averaged += 1
        state = self.network.state_dict()
        if self.kept is None:
            self.kept = {name: value.detach().clone() for name, value in state.items()}
            return
        for name, value in state.items():
            if value.is_floating_point():
                self.kept[name].lerp_(value.detach(), 1 / self.averaged)

    @torch.no_grad()
    def validation_loss(self) -> float:
        """Mean cross-entropy on the cases held out."""
        assert self.held_out is not None
        self.network.eval()
        total = 0.0
        for cases in torch.split(self.held_out, 512):
            lengths = None if self.lengths is None else self.lengths[cases]
            features = None if self.features is None else self.features[cases]
            logits = self.network(self.values[cases], lengths, features)
            total += float(nn.functional.cross_entropy(logits, self.targets[cases], reduction="sum"))
        self.network.train()
        return total / len(self.held_out)

    def finish(self) -> None:
        if self.kept is not None:
            self.network.load_state_dict(self.kept)
        self.features = None
        # No loss follows the last update, which may have diverged.
        if not all(bool(torch.isfinite(parameter).all()) for parameter in self.parameters):
            raise DivergedError("the weights are not finite after the last epoch")
        self.network.eval()


def _held_out(
    targets: NDArray[np.int64], share: float, generator: torch.Generator, groups: NDArray[np.int64] | None = None
) -> tuple[Tensor, Tensor]:
    """Numbers of the cases to train on, and of those held out: of each class `share`, rounded, but never the last.

    Of cases with groups, whole groups up to `share` of the cases, and none without which a class is not trained on.
    """
    if groups is not None:
        apart = torch.from_numpy(_groups_held_out(targets, share, generator, groups))
        return (~apart).nonzero().squeeze(1), apart.nonzero().squeeze(1)
    shuffled = torch.randperm(len(targets), generator=generator)
    held_out = []
    for label in range(int(targets.max()) + 1):
        of_class = shuffled[torch.from_numpy(targets)[shuffled] == label]
        held_out.append(of_class[: min(round(share * len(of_class)), len(of_class) - 1)] if len(of_class) else of_class)
    apart = torch.cat(held_out)
    kept = torch.ones(len(targets), dtype=torch.bool)
    kept[apart] = False
    return kept.nonzero().squeeze(1), apart


def _groups_held_out(
    targets: NDArray[np.int64], share: float, generator: torch.Generator, groups: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Which cases are held out."""
    apart = np.zeros(len(targets), dtype=bool)
    classes = len(np.unique(targets))
    for group in torch.randperm(int(groups.max()) + 1, generator=generator).tolist():
        wanted = apart | (groups == group)
        if wanted.sum() <= share * len(targets) and len(np.unique(targets[~wanted])) == classes:
            apart = wanted
    return apart


def _some_of(cases: Tensor, seed: int) -> Tensor:
    """At most `MAX_PREPARED_WITH` cases, drawn at random."""
    drawn = torch.randperm(len(cases), generator=torch.Generator().manual_seed(seed))[:MAX_PREPARED_WITH]
    return cases[drawn.sort().values.to(cases.device)]


def _batch_sizes(cases: int, batch_size: int) -> list[int]:
    """Sizes of an epoch's batches; a last batch of one case joins the one before, as it has no batch statistics."""
    sizes = [batch_size] * (cases // batch_size)
    if rest := cases % batch_size:
        sizes.append(rest)
    if len(sizes) > 1 and sizes[-1] == 1 and batch_size > 1:
        sizes[-2:] = [sizes[-2] + 1]
    return sizes


def _has_bfloat16(device: torch.device) -> bool:
    """Whether the GPU itself computes in bfloat16; older ones only emulate it, slowly."""
    with torch.cuda.device(device):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
