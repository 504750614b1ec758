"""The tree of settings: every key a recipe may hold, its type, default and one-line description.

The dotted names of this tree (`model.encoder.hidden_size`) are the only spelling: recipes, search spaces, MLflow
parameters, saved models and the docs all use them. Defaults are defined here only.
"""

from __future__ import annotations

import math
import re
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeGuard, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainSerializer,
    Tag,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from tsbench.recipe.messages import shortened, shown, suggestion
from tsbench.recipe.plain import plain
from tsbench.recipe.presets import PRESETS, Preset
from tsbench.recipe.registries import (
    COLLECTIONS,
    FEATURES,
    FORMATS,
    AutoPreset,
    Encoder,
    FormatName,
    Launcher,
    Metric,
    Objective,
    Pooling,
    Pruner,
    Sampler,
    Scheduler,
    import_path_problem,
)

__all__ = [
    "AttentionConfig",
    "AugmentationConfig",
    "AutoConfig",
    "BaselineConfig",
    "BaselinePreprocessingConfig",
    "ConvolutionConfig",
    "EncoderConfig",
    "EvaluationConfig",
    "ExecutionConfig",
    "FeaturesConfig",
    "HeadConfig",
    "HyperparameterConfig",
    "ModelConfig",
    "OwnDataConfig",
    "PreprocessingConfig",
    "Recipe",
    "SearchConfig",
    "SelectionConfig",
    "Settings",
    "SplitConfig",
    "StemConfig",
    "TrackingConfig",
    "TrainingConfig",
]

DEVICE = r"^(auto|cpu|cuda(:[0-9]{1,4})?)$"  # the names of devices
MAX_NAME = 100
"""Characters of a name. Some file systems take 143 bytes in the name of a folder, and a study's folder has the data
set's name with the number of a resample and the time at which the study was archived."""

MAX_PATH = 4095  # bytes; no system that tsbench runs on takes longer paths

RESERVED_NAMES = ("lock", "listener.json", "invitation.json", "slurm")
"""Other files in the folder of a recipe's studies; version 0.1.0 wrote the last two."""

_SUFFIXES = "; ".join(f"{name}: {', '.join(known.suffixes)}" for name, known in FORMATS.items())
_UNITS = {"s": 1.0, "sec": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?|\.[0-9]+)\s*([a-z]+)\s*")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]*")
_RESAMPLE = re.compile(r"-resample-[0-9]+$", re.IGNORECASE)  # see `tsbench.bench.plan.folder_of`
_LARGEST = 2**63 - 1  # largest integer of NumPy, PyTorch and databases


def _wrong(message: str, key: str | None = None) -> PydanticCustomError:
    """An error with this sentence; if it is raised for a group of settings, `key` is the one that it is about."""
    return PydanticCustomError("tsbench", "{message}", {"message": message, "key": key})


def _real(value: float) -> float:
    """The number as a float, infinite if it is a whole number beyond a float's range."""
    try:
        return float(value)
    except OverflowError:
        return math.inf


def parse_duration(value: Any) -> float:
    """Seconds in a duration such as `3 min`, `90 s`, `1.5 h` or a bare number of seconds."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = _real(value)
    elif isinstance(value, str) and (match := _DURATION.fullmatch(value.lower())) and match[2] in _UNITS:
        seconds = float(match[1]) * _UNITS[match[2]]
    else:
        raise _wrong(f"expected a duration such as '90 s', '3 min' or '2 h', got {shown(value)}")
    if not 0 < seconds < math.inf:
        raise _wrong(f"must be longer than 0 s, got {shown(value)}")
    return seconds


def format_duration(seconds: float) -> str:
    """The spelling in the largest whole unit; `parse_duration` reads it back to the same number."""
    for unit in ("h", "min", "s"):
        count = seconds / _UNITS[unit]
        if unit == "s" or (count.is_integer() and count * _UNITS[unit] == seconds):
            break
    return f"{Decimal(repr(count)):f} {unit}".replace(".0 ", " ")


def _identifier(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise _wrong(
            f"may hold letters, digits, '-', '_' and '.', and must begin with a letter or digit, got {shown(value)}"
        )
    if len(value) > MAX_NAME:
        raise _wrong(
            f"may hold at most {MAX_NAME} characters, as folders are named after it, got {len(value)}: {shown(value)}"
        )
    return value


def _data_set_name(value: str) -> str:
    """A name that a folder beside the other studies of a recipe may have."""
    _identifier(value)
    if value.lower() in RESERVED_NAMES:
        raise _wrong(f"cannot be {value!r}: tsbench has a file of that name beside the studies of a recipe")
    if _RESAMPLE.search(value):
        raise _wrong(f"cannot end in '-resample-' and a number, as the folders of resamples do, got {shown(value)}")
    return value


def _recipe_name(value: str) -> str:
    _identifier(value)
    if value == "Default":
        raise _wrong("cannot be 'Default', which is the name of an experiment of MLflow's own")
    return value


def _auto_or_count(value: Any) -> Any:
    if value == "auto" or (isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _LARGEST):
        return value
    raise _wrong(f"expected 'auto' or a whole number of at least 1, got {shown(value)}")


def _optional_positive(value: Any) -> Any:
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool) and value > 0):
        return value
    raise _wrong(f"expected a number greater than 0, or null for none, got {shown(value)}")


def _distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    repeated = sorted(str(value) for value, count in Counter(values).items() if count > 1)
    if repeated:
        raise _wrong(f"named more than once: {shortened(', '.join(repeated))}")
    return values


def _steps_or(*words: str) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        whole = isinstance(value, int) and not isinstance(value, bool) and 2 <= value <= _LARGEST
        if whole or value in words:
            return value
        raise _wrong(f"expected {', '.join(words)} or a whole number of at least 2 time steps, got {shown(value)}")

    return check


def _kernel(value: Any) -> Any:
    whole = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _LARGEST
    if whole or (isinstance(value, float) and 0 < value < 1):
        return value
    raise _wrong(f"expected time steps, or a share between 0 and 1, got {shown(value)}")


def _known_feature(value: str) -> str:
    if "." in value:
        if problem := import_path_problem(value):
            raise _wrong(problem)
    elif value not in FEATURES:
        raise PydanticCustomError("unknown_name", "unknown feature", {"what": "feature block", "known": list(FEATURES)})
    return value


def _entries(value: Any) -> Any:
    """A space whose every entry is commented out is null in YAML; it is empty."""
    if value is None or value == "default" or isinstance(value, dict):
        return value or {}
    raise _wrong(f"expected a mapping of names to ranges, or 'default', got {shown(value)}")


def _path(value: str) -> str:
    """A path whose home folder, if it begins with `~`, exists on this machine."""
    if "\0" in value:
        raise _wrong("a path cannot hold a null byte")
    if len(value.encode(errors="replace")) > MAX_PATH:
        raise _wrong(f"a path may have at most {MAX_PATH} bytes, got {shown(value)}")
    if value.startswith("~"):
        try:
            Path(value).expanduser()
        except RuntimeError:  # Python's own message does not name the user
            raise _wrong(
                f"{shown(value)} begins with ~ and the name of a user who has no home directory on this machine; write "
                "the folder's whole path"
            ) from None
    return value


Duration = Annotated[
    float,
    BeforeValidator(parse_duration, json_schema_input_type=str | float),
    PlainSerializer(format_duration, return_type=str),
]
FilePath = Annotated[str, AfterValidator(_path)]
RecipeName = Annotated[str, AfterValidator(_recipe_name)]
DataSetName = Annotated[str, AfterValidator(_data_set_name)]
AutoOrCount = Annotated[
    int | Literal["auto"], BeforeValidator(_auto_or_count, json_schema_input_type=int | Literal["auto"])
]
OptionalPositive = Annotated[float | None, BeforeValidator(_optional_positive, json_schema_input_type=float | None)]
PositiveInt = Annotated[int, Field(ge=1, le=_LARGEST)]
Kernel = Annotated[int | float, BeforeValidator(_kernel, json_schema_input_type=int | float)]
Feature = Annotated[str, AfterValidator(_known_feature)]
Filling = Literal["linear", "forward", "mean", "none"]
_Reference = Literal["shortest", "median", "longest"]
TrainingLength = Annotated[
    int | _Reference, BeforeValidator(_steps_or(*get_args(_Reference)), json_schema_input_type=int | _Reference)
]
KeptOrTrainingLength = Annotated[
    int | Literal["keep", _Reference],
    BeforeValidator(_steps_or("keep", *get_args(_Reference)), json_schema_input_type=int | Literal["keep", _Reference]),
]


def is_group(annotation: Any) -> TypeGuard[type[BaseModel]]:
    """Whether a setting is a group of settings, by its type."""
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


class Settings(BaseModel):
    """A frozen group of settings; unknown keys and implicit conversions ("3" for 3) are refused.

    From Python, NumPy's scalars and arrays count as the numbers and lists that they hold.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _empty_groups_are_left_out(cls, data: Any) -> Any:
        """A group whose every key is commented out is null in YAML; it means the defaults."""
        if not isinstance(data, dict):
            return data
        groups = {name for name, info in cls.model_fields.items() if is_group(info.annotation)}
        return {key: plain(value) for key, value in data.items() if value is not None or key not in groups}


class StemConfig(Settings):
    """What shortens long series before all learned blocks."""

    type: Literal["none", "average", "convolution"] = Field(
        "average", description="no shortening, averages of neighbouring steps, or a strided convolution"
    )
    stride: AutoOrCount = Field("auto", description="time steps that become one; auto keeps at most max_steps of them")
    max_steps: PositiveInt = Field(512, description="stride auto: maximum number of time steps that are kept")


class ConvolutionConfig(Settings):
    """The multi-scale convolutions."""

    kernels: Annotated[tuple[Kernel, ...], Field(strict=False, min_length=1)] = Field(
        (3, 5, 9),
        description="lengths of the parallel convolutions, in time steps or (below 1) as shares of the series' length",
    )
    channels: PositiveInt = Field(32, description="output channels of each of the parallel convolutions")
    blocks: PositiveInt = Field(3, description="blocks of parallel convolutions, each after the first with a residual")
    dilation: PositiveInt = Field(
        4, description="factor by which each block spreads its kernels more than the block before"
    )
    separable: bool = Field(False, description="blocks after the first: convolve each channel by itself, then mix them")
    fixed_filters: bool = Field(False, description="first block: add hand-crafted filters for rise, fall and peak")
    position: Literal["before_encoder", "after_encoder"] = Field(
        "before_encoder", description="in front of the encoder, or between it and the attention"
    )


class EncoderConfig(Settings):
    """What reads the convolutions' output along time."""

    type: Encoder = Field("lstm", description="kind of encoder layer")
    layers: PositiveInt = Field(2, description="layers, each with a residual connection round it")
    hidden_size: PositiveInt = Field(32, description="hidden units of each layer and direction")
    bidirectional: bool = Field(True, description="lstm and gru: read the series in both directions")
    heads: PositiveInt = Field(4, description="transformer: attention heads")
    stride: AutoOrCount = Field(
        "auto",
        description="time steps averaged into one before the encoder; auto keeps at most max_steps of them",
    )
    max_steps: PositiveInt = Field(32, description="stride auto: maximum number of time steps that are kept")
    gated: bool = Field(
        True, description="lstm and gru: a learned factor, 0 at first, on what each layer adds to its input"
    )


class AttentionConfig(Settings):
    """Self-attention over the encoder's output."""

    type: Literal["none", "single", "multi"] = Field("single", description="no attention, one head, or several")
    heads: PositiveInt = Field(4, description="multi: attention heads")
    residual: bool = Field(True, description="add the attention's input to its output")
    gated: bool = Field(True, description="residual: a learned factor, 0 at first, on the attention's output")


class FeaturesConfig(Settings):
    """Features that are computed rather than learned, with their own linear classifier."""

    blocks: Annotated[tuple[Feature, ...], Field(strict=False), AfterValidator(_distinct)] = Field(
        ("minirocket", "hydra"), description=f"feature blocks: {', '.join(FEATURES)}, or import paths of classes"
    )
    head: Literal["ridge", "gradient"] = Field(
        "ridge",
        description="their linear classifier: ridge regression in closed form, or trained along by gradient; above "
        "4,096 training cases, or with features that are learned, always by gradient",
    )
    share: float = Field(
        0.65, gt=0, lt=1, description="weight of the features' probabilities in the mean with the learned branch's"
    )
    size: PositiveInt = Field(9996, description="minirocket: number of features, rounded to a multiple of 84")


class HeadConfig(Settings):
    """The dense classifier at the end."""

    hidden_sizes: Annotated[tuple[PositiveInt, ...], Field(strict=False)] = Field(
        (128,), description="units of the dense layers, each with LayerNorm, GELU and dropout"
    )
    normalise: Literal["none", "batch"] = Field(
        "batch", description="batch: batch normalisation of the pooled features"
    )


class ModelConfig(Settings):
    """The network."""

    preset: Preset | None = Field(
        None, description="a published form, whose values apply unless the recipe sets them; null: the defaults"
    )
    stem: StemConfig = Field(default_factory=StemConfig, description="shortens long series first")
    convolution: ConvolutionConfig = Field(default_factory=ConvolutionConfig, description="multi-scale convolutions")
    encoder: EncoderConfig = Field(default_factory=EncoderConfig, description="recurrent or Transformer layers")
    attention: AttentionConfig = Field(default_factory=AttentionConfig, description="self-attention")
    pooling: Pooling = Field("both", description="global pooling over time")
    skip: bool = Field(True, description="pool the convolutions' output too, beside the encoder's")
    features: FeaturesConfig = Field(default_factory=FeaturesConfig, description="computed features beside the network")
    head: HeadConfig = Field(default_factory=HeadConfig, description="dense classifier")
    dropout: float = Field(0.1, ge=0, lt=1, description="probability that a unit is dropped while training")

    @model_validator(mode="before")
    @classmethod
    def _preset_stands_beneath(cls, data: Any) -> Any:
        if not isinstance(data, dict) or not isinstance(data.get("preset"), str) or data["preset"] not in PRESETS:
            return data
        return _deep_merge(PRESETS[data["preset"]], data)


def _deep_merge(base: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The tree `base` with every value that `given` has in its place."""
    tree = dict(base)
    for key, value in given.items():
        below = tree.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            tree[key] = _deep_merge(below, value)
        elif not (isinstance(below, Mapping) and value is None):  # an empty group in YAML gives nothing
            tree[key] = value
    return tree


class AugmentationConfig(Settings):
    """Random changes of the training cases, drawn again for every mini-batch; 0 is off."""

    scaling: float = Field(0.1, ge=0, description="each channel times a factor around 1 with this standard deviation")
    window_warping: float = Field(0.5, ge=0, le=1, description="share of cases of which a window is slowed or sped up")
    jitter: float = Field(0.0, ge=0, description="standard deviation of the noise added to every step")
    mixup: float = Field(0.0, ge=0, description="alpha of mixup's Beta distribution: mixes pairs of cases and labels")


class TrainingConfig(Settings):
    """How one network is trained."""

    epochs: PositiveInt = Field(40, description="passes over the training cases; left out, see min_steps")
    min_steps: int = Field(
        800,
        ge=0,
        le=_LARGEST,
        description="mini-batches in all, at least: with few cases, each epoch passes over them several times; 0 where "
        "epochs is given and this is not",
    )
    batch_size: PositiveInt = Field(16, description="cases in a mini-batch")
    learning_rate: float = Field(1e-3, gt=0, description="peak learning rate of AdamW")
    weight_decay: float = Field(1e-2, ge=0, description="decoupled weight decay of AdamW")
    scheduler: Scheduler = Field("cosine", description="how the learning rate changes")
    warmup_epochs: int = Field(0, ge=0, le=_LARGEST, description="epochs of linear warm-up (one_cycle has its own)")
    restart_epochs: PositiveInt = Field(25, description="cosine_restarts: epochs of a cycle")
    min_learning_rate: float = Field(0.0, ge=0, description="where cosine, cosine_restarts and plateau end")
    label_smoothing: float = Field(0.1, ge=0, lt=1, description="share of the target spread evenly over the classes")
    class_weights: Literal["none", "balanced"] = Field(
        "none", description="balanced weighs a class by the inverse of its frequency"
    )
    max_gradient_norm: OptionalPositive = Field(1.0, description="gradients are clipped to this norm; null: never")
    checkpoint: Literal["last", "train_loss", "average", "validation_loss"] = Field(
        "last",
        description="weights that are kept: the last epoch's, those of the lowest training loss, the average over the "
        "last quarter of the epochs, or those of the lowest loss on held-out cases",
    )
    validation_share: float = Field(
        0.1, gt=0, lt=1, description="validation_loss: share of the training cases held out, stratified"
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="of the forward pass; auto is bfloat16 on a GPU that has it, float32 elsewhere"
    )
    augmentation: AugmentationConfig = Field(
        default_factory=AugmentationConfig, description="random changes of the training cases"
    )

    @model_validator(mode="before")
    @classmethod
    def _epochs_that_are_given_are_meant(cls, data: Any) -> Any:
        if isinstance(data, dict) and "epochs" in data and "min_steps" not in data:
            return {**data, "min_steps": 0}
        return data


class PreprocessingConfig(Settings):
    """The preprocessing of the series, fitted on the training cases only."""

    normalise: Literal["channel", "case", "none"] = Field(
        "channel",
        description="z-normalise by each channel's training statistics, or each case by its own, or not",
    )
    missing: Filling = Field(
        "linear",
        description="missing values become the line between their neighbours, the value before, or the training mean; "
        "none leaves them out of all statistics, as 0 with a channel that marks them",
    )
    mark_missing: bool = Field(
        False, description="add a channel that is 1 where a value was missing, for each channel with missing values"
    )
    length: KeptOrTrainingLength = Field(
        "keep",
        description="keep each case's own, padded and masked; or resample all cases, along straight lines, to the "
        "shortest, median or longest training case's, or to a number of time steps",
    )


class HyperparameterConfig(Settings):
    """The part of the tree that a search space may name."""

    model: ModelConfig = Field(default_factory=ModelConfig, description="the network; values given here are fixed")
    training: TrainingConfig = Field(default_factory=TrainingConfig, description="how a network is trained")
    preprocessing: PreprocessingConfig = Field(
        default_factory=PreprocessingConfig, description="preprocessing of the series"
    )


class ConstraintConfig(Settings):
    """Upper limits on what a trial's network may cost; null: none."""

    parameters: PositiveInt | None = Field(
        None, description="weights of one network; a trial with more ends before it is trained"
    )
    predict_seconds: OptionalPositive = Field(
        None, description="seconds in which the networks of all folds predict their validation cases"
    )


class SearchConfig(Settings):
    """The study over the search space, one for each data set and resample."""

    trials: int = Field(
        20,
        ge=0,
        le=_LARGEST,
        description="trials of a study in total, however often the command runs; 0: no search and no network",
    )
    timeout: Duration | None = Field(None, description="time budget of a study, in all calls, refit too; null: none")
    sampler: Sampler = Field("tpe", description="Optuna's sampler; grid: every combination of a finite space")
    pruner: Pruner = Field(
        "median",
        description="Optuna's pruner; it sees the mean over the folds at ten rungs, wilcoxon the folds one by one; "
        "bound: a trial ends when perfect scores on its other folds could not bring it among the best; none if "
        "trade_off is given",
    )
    folds: int = Field(3, ge=2, le=_LARGEST, description="stratified cross-validation folds of the training cases")
    repeats: AutoOrCount = Field(
        "auto", description="how often the folds are drawn, each time otherwise; auto: twice below 60 training cases"
    )
    confirm: int = Field(
        3,
        ge=0,
        le=1000,
        description="best trials that are scored again on other folds, beside the recipe's own values, and chosen in "
        "their place only if they are better by more than the standard error; 0: the best CV score decides",
    )
    holdout_above: PositiveInt = Field(
        1000, description="with more training cases than this, one held-out part of them takes the place of the folds"
    )
    holdout_redrawn: bool = Field(True, description="draw another held-out part for each trial; false: one for all")
    holdout_share: float = Field(0.2, gt=0, lt=1, description="share of the training cases in the held-out part")
    fraction: float = Field(
        1.0,
        gt=0,
        le=1,
        description="share of the training cases, stratified, that trials see; the refit sees all of them",
    )
    metric: Metric = Field("accuracy", description="what the search improves, and the final network is chosen by")
    trade_off: Annotated[tuple[Objective, ...], Field(strict=False), AfterValidator(_distinct)] = Field(
        (), description="improved at the same time: the best compromises, the Pareto front, are recorded"
    )
    constraints: ConstraintConfig = Field(
        default_factory=ConstraintConfig, description="a trial that exceeds one of these limits is not chosen"
    )
    enqueue: Annotated[tuple[dict[str, Any], ...], Field(strict=False)] = Field(
        (), description="configurations to be tried first: values by the dotted names of the space"
    )
    portfolio: Literal["default", "none"] = Field(
        "default",
        description="configurations that did well on other data sets, tried after the recipe's own values and before "
        "the sampler draws, if the space offers most of their values; not used by grid",
    )
    storage: str | None = Field(
        None, description="postgresql:// address of a database for the trials; null: a file on this machine"
    )
    seed: int = Field(0, ge=0, lt=2**32, description="seed of folds, sampler and networks")
    concurrency: AutoOrCount = Field(
        "auto",
        description="maximum number of trials under way; a trial is chosen by the results of those at least this many "
        "before it, so that results do not depend on which worker is faster; auto: twice the workers, at least 4",
    )

    @model_validator(mode="before")
    @classmethod
    def _several_metrics_are_not_pruned(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("trade_off") and "pruner" not in data:
            return {**data, "pruner": "none"}
        return data

    @field_validator("sampler", mode="before")
    @classmethod
    def _no_package_has_the_auto_sampler(cls, value: Any) -> Any:
        if value == "auto":
            raise _wrong(
                "Optuna's AutoSampler is no part of Optuna but of OptunaHub, which downloads its code when it is used; "
                "write tpe, which searches spaces of every kind"
            )
        return value

    @field_validator("storage")
    @classmethod
    def _is_a_database_for_many(cls, value: str | None) -> str | None:
        if value is None or re.match(r"postgresql(\+\w+)?://", value):
            return value
        raise PydanticCustomError(
            "storage",
            "must be a postgresql:// address; tsbench's default file serves one machine, and SQLite "
            "locks out its second writer",
        )

    @field_validator("trade_off")
    @classmethod
    def _is_not_the_metric(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if info.data.get("metric") in value:
            raise PydanticCustomError("trade_off", "already search.metric; name what is to be weighed against it")
        pruner, sampler = info.data.get("pruner"), info.data.get("sampler")
        if value and pruner not in (None, "none"):
            raise PydanticCustomError(
                "trade_off", f"a trial with several goals cannot be pruned; write pruner: none, or leave {pruner} out"
            )
        if value and sampler == "cmaes":
            raise PydanticCustomError("trade_off", "the cmaes sampler has one goal; use nsga2, tpe, gp, random or grid")
        return value

    @field_validator("folds")
    @classmethod
    def _folds_suffice_for_the_pruner(cls, value: int, info: ValidationInfo) -> int:
        if info.data.get("pruner") == "wilcoxon" and value < 5:
            raise PydanticCustomError(
                "folds",
                "the wilcoxon pruner needs at least 5: with fewer, the test cannot become "
                "significant before the last fold, so nothing would be saved",
            )
        return value


class SplitConfig(Settings):
    """How the cases of one file are split into train and test."""

    test_size: float = Field(0.3, gt=0, lt=1, description="share of the cases, or of the groups' cases, to test on")
    stratify: bool = Field(True, description="keep each class's share in both parts")
    group: str | None = Field(
        None, description="column (long) or array (npz: groups) of groups, such as machines, that are never split"
    )
    seed: int = Field(0, ge=0, lt=2**32, description="of the draw")


class OwnDataConfig(Settings):
    """Data of your own: a train and a test file, or one file that is split."""

    name: DataSetName = Field(description="what the data set is called in MLflow and tables")
    train: FilePath | None = Field(None, description="file of the training cases; relative to the current folder")
    test: FilePath | None = Field(None, description="file of the test cases")
    file: FilePath | None = Field(None, description="file of all cases, instead of train and test; see split")
    format: FormatName = Field("auto", description=f"auto goes by the suffix: {_SUFFIXES}")
    case: str = Field("case", description="long table: column that identifies the cases")
    time: str | None = Field(None, description="long table: column that orders a case's rows; null: they are in order")
    label: str = Field("label", description="long table: column of the class")
    channels: Annotated[tuple[str, ...] | None, Field(strict=False)] = Field(
        None, description="long table: columns of values; null: all that are nothing else"
    )
    group: str | None = Field(None, description="as split.group, for a train and a test file")
    split: SplitConfig = Field(default_factory=SplitConfig, description="of `file` into train and test")

    @model_validator(mode="after")
    def _files_are_given(self) -> OwnDataConfig:
        if self.file is not None and (self.train or self.test):
            raise _wrong("expected `file` alone, or `train` and `test`, got both", "file")
        if self.file is None and not (self.train and self.test):
            missing = [key for key in ("train", "test") if not getattr(self, key)]
            raise _wrong(
                f"expected `train` and `test`, or `file` and `split`; there is no {' and '.join(missing)}", missing[0]
            )
        if self.file is None and self.split != SplitConfig():
            raise _wrong(
                "`split` is for one `file`; with `train` and `test` leave it out, and write `group` beside them",
                "split",
            )
        return self

    @property
    def grouping(self) -> str | None:
        """The column or array of groups, wherever it was given."""
        return self.split.group or self.group


class SelectionConfig(Settings):
    """A collection, or names with * and ?, narrowed by the catalogue's facts."""

    collection: str = Field(description=f"one of {', '.join(COLLECTIONS)}, or a name with * or ?")
    univariate: bool | None = Field(None, description="true: one channel, false: several")
    equal_length: bool | None = Field(None, description="whether all cases have the same length")
    missing_values: bool | None = Field(None, description="whether values are missing")
    max_cases: PositiveInt | None = Field(None, description="maximum number of training cases")
    min_cases: PositiveInt | None = Field(None, description="minimum number of training cases")
    max_length: PositiveInt | None = Field(None, description="maximum number of time steps of the longest case")
    min_length: PositiveInt | None = Field(None, description="minimum number of time steps of the shortest case")
    max_channels: PositiveInt | None = Field(None, description="maximum number of channels")
    max_classes: PositiveInt | None = Field(None, description="maximum number of classes")
    domains: Annotated[tuple[str, ...], Field(strict=False)] = Field((), description="kinds of data, such as ECG")
    exclude: Annotated[tuple[str, ...], Field(strict=False)] = Field((), description="names, or patterns with * and ?")

    @field_validator("collection")
    @classmethod
    def _is_known(cls, value: str) -> str:
        if value in COLLECTIONS or set(value) & set("*?"):
            return value
        known = list(COLLECTIONS)
        raise PydanticCustomError("unknown_name", "unknown collection", {"what": "collection", "known": known})


def _data_set(value: str) -> str:
    """The name of a data set or collection, or a pattern; a name in the form of a collection's must be known."""
    if value in COLLECTIONS:
        return value
    if re.fullmatch(r"(ucr|uea|multiverse|monster)-?\d*", value):
        known = list(COLLECTIONS)
        raise PydanticCustomError("unknown_name", "unknown collection", {"what": "collection", "known": known})
    _data_set_name(re.sub(r"[*?]", "x", value))
    return value


def _kind_of_data(value: Any) -> str:
    if isinstance(value, SelectionConfig) or (isinstance(value, Mapping) and "collection" in value):
        return "selection"
    return "own" if isinstance(value, Mapping | OwnDataConfig) else "name"


DataEntry = Annotated[
    Annotated[Annotated[str, AfterValidator(_data_set)], Tag("name")]
    | Annotated[SelectionConfig, Tag("selection")]
    | Annotated[OwnDataConfig, Tag("own")],
    Discriminator(_kind_of_data),
]


def _entry_list(value: Any) -> Any:
    """`datasets: ucr-112` is a list of one."""
    return [value] if isinstance(value, str | Mapping) else value


def _named_once(entries: tuple[Any, ...]) -> tuple[Any, ...]:
    found = [entry.name if isinstance(entry, OwnDataConfig) else entry for entry in entries]
    names = [name for name in found if isinstance(name, str)]
    _distinct(tuple(names))
    counts = Counter(name.lower() for name in names)
    if alike := sorted(name for name in names if counts[name.lower()] > 1):
        raise _wrong(f"differ only in case, so that their folders are one on some file systems: {', '.join(alike)}")
    return entries


class BaselinePreprocessingConfig(Settings):
    """The preprocessing of cases that a baseline cannot take unchanged; fitted on each fit's training cases only."""

    unequal_length: Literal["pad", "resample", "none"] = Field(
        "pad",
        description="baselines that need one length: pad shorter cases at the end and cut longer ones there, or "
        "resample all cases along straight lines; none skips these baselines",
    )
    length: TrainingLength = Field(
        "longest",
        description="time steps to pad or resample to: the shortest, median or longest training case's, or a number",
    )
    padding: Literal["zero", "last", "mean"] = Field(
        "zero", description="pad: with 0, or with the last value or the mean of the case, channel by channel"
    )
    missing_values: Filling = Field(
        "linear",
        description="baselines that take no missing values: fill in the line between their neighbours, the value "
        "before, or the training mean; none skips these baselines",
    )


class EvaluationConfig(Settings):
    """What is scored on the test cases, and how often."""

    resamples: PositiveInt = Field(
        1, le=10_000, description="splits: the archive's own, then stratified resamples 1, 2, ..."
    )
    ensemble: PositiveInt = Field(3, description="networks of different seeds whose probabilities are averaged")
    cross_validate_baselines: bool = Field(True, description="give the baselines a CV score on the search's folds")
    keep_baselines: bool = Field(
        True, description="log the fitted baselines of the archive's own split (resample 0) as models"
    )
    baseline_timeout: Duration | None = Field(
        None, description="time limit of one baseline on one data set, CV included; null: none"
    )
    baseline_preprocessing: BaselinePreprocessingConfig = Field(
        default_factory=BaselinePreprocessingConfig,
        description="how cases are adapted for baselines that cannot take unequal lengths or missing values; recorded",
    )


with warnings.catch_warnings(action="ignore", category=UserWarning):  # `register` is a method of pydantic's metaclass

    class TrackingConfig(Settings):
        """Where MLflow keeps the records."""

        uri: str = Field("sqlite:///mlflow.db", min_length=1, description="MLflow tracking URI")
        register: bool = Field(
            False,
            description="put each data set's final network into MLflow's registry of models; the alias best goes to "
            "the version with the best CV score",
        )


class ExecutionConfig(Settings):
    """What the work runs on."""

    workers: AutoOrCount = Field("auto", description="processes; auto: one for each GPU, else one for each core")
    device: Annotated[str, Field(pattern=DEVICE)] = Field("auto", description="auto, cpu, cuda (all GPUs) or cuda:N")
    trials_per_device: PositiveInt = Field(1, description="workers that share a GPU, if workers is auto")
    launcher: Launcher = Field("local", description="what starts the workers")
    address: str = Field("auto", min_length=1, description="of the Ray cluster; local: begin one on this machine")
    cpus_per_worker: PositiveInt = Field(1, description="cores that Ray sets aside for a worker")
    gpus_per_worker: float = Field(0.0, ge=0, description="GPUs that Ray sets aside for a worker")

    @model_validator(mode="before")
    @classmethod
    def _without_slurm_settings(cls, data: Any) -> Any:
        """Recipes that version 0.1.0 recorded have an empty `slurm`, and those with `launcher: slurm` are refused."""
        if isinstance(data, dict) and ("slurm" in data) and (not data["slurm"] or data.get("launcher") == "slurm"):
            return {key: value for key, value in data.items() if key != "slurm"}
        return data

    @field_validator("launcher", mode="before")
    @classmethod
    def _slurm_by_ray(cls, value: Any) -> Any:
        if value == "slurm":
            raise _wrong(
                "'slurm' is no longer supported; start a Ray cluster inside a Slurm allocation and write "
                "launcher: ray (docs/scaling.md has a script for sbatch)"
            )
        return value

    @model_validator(mode="after")
    def _remote_workers_are_counted(self) -> Self:
        if self.launcher != "local" and self.workers == "auto":
            raise _wrong(f"must be a number with launcher {self.launcher!r}", "workers")
        return self


class BaselineConfig(BaseModel):
    """A classifier to compare with: a name, an import path, or either with parameters, `{rocket: {n_kernels: 500}}`."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    classifier: str
    parameters: dict[str, Any] = {}

    BESIDES: ClassVar[tuple[str, ...]] = ()
    """Names that are no baselines."""

    @classmethod
    def _checked(cls, classifier: str, parameters: dict[str, Any]) -> dict[str, Any]:
        return {"classifier": classifier, "parameters": parameters}

    @model_validator(mode="before")
    @classmethod
    def _from_recipe(cls, value: Any, info: ValidationInfo) -> Any:
        """The registry is in a higher room, so the caller passes its check in the context."""
        if isinstance(value, dict) and len(value) == 1:
            ((classifier, parameters),) = value.items()
        else:
            classifier, parameters = value, {}
        if not isinstance(classifier, str) or not isinstance(parameters or {}, dict):
            raise _wrong(f"expected a name, an import path, or one of them with parameters, got {shown(value)}")
        if classifier in cls.BESIDES:
            return cls._checked(classifier, parameters or {})
        context = info.context or {}
        known, check = context.get("baselines"), context.get("check_baseline")
        known = None if known is None else {*known, *cls.BESIDES}
        if known is not None and classifier not in known and "." not in classifier:
            if value == classifier:
                raise PydanticCustomError(
                    "unknown_name", "unknown baseline", {"what": "baseline", "known": sorted(known)}
                )
            hint = suggestion(classifier, known) or f"; known: {', '.join(sorted(known))}"
            raise _wrong(f"unknown baseline {classifier!r}{hint}")
        if check is not None and (problem := check(classifier, parameters or {})):
            raise _wrong(problem)
        return {"classifier": classifier, "parameters": parameters or {}}

    @model_serializer
    def _as_in_recipe(self) -> str | dict[str, dict[str, Any]]:
        return {self.classifier: dict(self.parameters)} if self.parameters else self.classifier

    @property
    def name(self) -> str:
        """What it is called in tables and MLflow; of an import path the library and the class."""
        package, _, rest = self.classifier.partition(".")
        name = f"{package}.{rest.rpartition('.')[2]}" if rest else self.classifier
        given = ", ".join(f"{key}={shown(value)}" for key, value in self.parameters.items())
        return f"{name}({given})" if given else name


_BASELINE_SCHEMA = {
    "anyOf": [
        {"type": "string"},
        {"type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": {"type": "object"}},
    ]
}


def _distinct_baselines(values: tuple[BaselineConfig, ...]) -> tuple[BaselineConfig, ...]:
    _distinct(tuple(value.name for value in values))
    return values


class MemberConfig(BaselineConfig):
    """A candidate of `auto`: as a baseline, or `network`, whose parameters are settings by their dotted names."""

    BESIDES: ClassVar[tuple[str, ...]] = ("network",)

    @classmethod
    def _checked(cls, classifier: str, parameters: dict[str, Any]) -> dict[str, Any]:
        from tsbench.recipe.dotted import hyperparameters_of

        try:
            hyperparameters_of(parameters)
        except ValueError as error:
            raise _wrong(f"network: {error}") from None
        return {"classifier": classifier, "parameters": parameters}


class AutoConfig(Settings):
    """The ensemble over families of classifiers; in a recipe without `search` it takes the place of the network."""

    preset: AutoPreset = Field(
        "good", description="members: quick takes seconds and has no network, good minutes, best as long as given"
    )
    time_limit: Duration | None = Field(
        600.0, description="of the whole fit on one data set; the members fitted when it has passed vote; null: none"
    )
    members: (
        Annotated[
            tuple[Annotated[MemberConfig, WithJsonSchema(_BASELINE_SCHEMA)], ...],
            Field(strict=False, min_length=1),
            AfterValidator(_distinct_baselines),
        ]
        | None
    ) = Field(
        None, description="instead of the preset's: network, names of members and baselines, or import paths, in order"
    )


class Recipe(HyperparameterConfig):
    """One piece of work: data sets, the network and its search, baselines, and where the records go."""

    name: RecipeName = Field(description="name of the recipe, and of the MLflow experiment")
    datasets: Annotated[
        tuple[DataEntry, ...],
        Field(
            strict=False,
            min_length=1,
            description="names of UCR or UEA data sets, collections (ucr-112), patterns (Gun*), filters, or own files",
        ),
        BeforeValidator(_entry_list),
        AfterValidator(_named_once),
    ]
    archive: FilePath | None = Field(
        None, description="folder of data sets, searched first; relative to the current folder"
    )
    space: Annotated[dict[str, Any] | Literal["default"], BeforeValidator(_entries)] = Field(
        "default",
        description="what is searched: dotted names and ranges, or 'default'; {} tries only the recipe's own values",
    )
    search: SearchConfig = Field(default_factory=SearchConfig, description="the Optuna study")
    auto: AutoConfig | None = Field(
        None,
        description="fit the ensemble over families too, or without `search` in place of the network; {}: defaults",
    )
    evaluation: EvaluationConfig = Field(default_factory=EvaluationConfig, description="resamples and ensemble")
    baselines: Annotated[
        tuple[Annotated[BaselineConfig, WithJsonSchema(_BASELINE_SCHEMA)], ...],
        Field(strict=False),
        AfterValidator(_distinct_baselines),
    ] = Field(
        tuple(map(BaselineConfig.model_validate, ("dummy", "1nn-dtw", "minirocket"))),
        description="classifiers to compare with: names, or import paths of sktime's and aeon's classes",
    )
    tracking: TrackingConfig = Field(default_factory=TrackingConfig, description="MLflow")
    execution: ExecutionConfig = Field(default_factory=ExecutionConfig, description="workers and devices")

    @model_validator(mode="before")
    @classmethod
    def _auto_alone(cls, data: Any) -> Any:
        """With `auto` and neither `search` nor `space`, no network is searched."""
        if isinstance(data, dict) and data.get("auto") is not None and not ({"search", "space"} & data.keys()):
            return {**data, "search": {"trials": 0}}
        return data

    @model_validator(mode="after")
    def _something_is_fitted(self) -> Self:
        if not self.search.trials and self.auto is None and not self.baselines:
            raise _wrong("nothing is fitted: search.trials is 0, and there are no auto and no baselines", "search")
        return self

    @property
    def hyperparameters(self) -> HyperparameterConfig:
        """The part of the recipe that a search space varies."""
        return HyperparameterConfig(model=self.model, training=self.training, preprocessing=self.preprocessing)
