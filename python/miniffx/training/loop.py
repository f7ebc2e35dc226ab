"""The training loop: steps, reports, the best state, checkpoints."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from miniffx.training import steps as stepping
from miniffx.training.checkpoint import load_checkpoint, save_checkpoint
from miniffx.training.culprit import culprit
from miniffx.training.loss import Sums
from miniffx.training.problem import Problem, Samples
from miniffx.training.session_log import SessionLog
from miniffx.training.steps import MiniBatches, Recipe, State

History = list[dict[str, float]]

REPORTS = 100  # how often errors are computed and recorded during a fit


@dataclass
class Progress:
    """How far a fit has come.

    Attributes:
        step: updates made.
        state: after that step.
        best: the parameters with the best score; `best_score` and `best_step` are one number, or one per member.
        history: of the reports.
        seconds: spent in former runs of the same fit.
    """

    state: State
    best: Any
    best_score: np.ndarray
    best_step: np.ndarray
    step: int = 0
    history: History = field(default_factory=list)
    seconds: float = 0.0


@dataclass(frozen=True)
class Loop:
    """A fit, ready to run.

    Attributes:
        problem: parameters and data.
        recipe: of a step.
        steps: how many.
        order: of mini-batches; None: every step takes the whole set.
        patience: steps without a better score after which to stop; None: never.
        checkpoint: file to go on from, or None.
        origin: digests of what makes this fit, kept in the checkpoint.
        log: of the session.
        callback: called with (entry of the history, best parameters) at every report.
        bar: whether to show progress.
    """

    problem: Problem
    recipe: Recipe
    steps: int
    order: MiniBatches | None
    patience: int | None
    checkpoint: Path | None
    origin: dict[str, str]
    log: SessionLog
    callback: Callable[[dict[str, float], Any], None] | None
    bar: bool

    def run(self, resume: bool) -> Progress:
        """From the start or the checkpoint to the last step, or to where nothing gets better."""
        progress = self._begin(resume)
        every = max(1, self.steps // REPORTS)
        start = time.perf_counter() - progress.seconds
        last, state = progress.step, progress.state  # of the last report: known to be finite
        with tqdm(total=self.steps, initial=last, disable=not self.bar, unit="step", dynamic_ncols=True) as bar:
            while progress.step < self.steps and not self._exhausted(progress):
                progress.state = self._advance(progress.state, progress.step)
                progress.step += 1
                if progress.step % every and progress.step != self.steps:
                    continue
                progress.seconds = time.perf_counter() - start
                entry = self._report(progress, last, state)
                last, state = progress.step, progress.state
                if self.checkpoint is not None:
                    self._save(progress)
                self.log.write("report", **entry)
                if self.callback is not None:
                    self.callback(entry, progress.best)
                bar.update(progress.step - bar.n)
                bar.set_postfix_str(summary(entry))
        self.log.write("end", step=progress.step, best_step=progress.best_step.tolist(), seconds=progress.seconds)
        return progress

    def _begin(self, resume: bool) -> Progress:
        shape = () if self.recipe.members is None else (self.recipe.members,)
        dtype = jax.tree.leaves(self.problem.parameters)[0].dtype
        state = stepping.start(self.recipe, self.problem.parameters, Sums.zero(self.problem.train.totals, (), dtype))
        progress = Progress(state, state.candidate, np.full(shape, np.inf), np.zeros(shape, int))
        if not resume or self.checkpoint is None or not self.checkpoint.exists():
            self.log.write("start", **self.origin)
            if self.checkpoint is not None:  # in the place of one that a former fit may have left there
                self._save(progress)
            return progress
        (state, best), saved = load_checkpoint(self.checkpoint, (state, progress.best), self.origin)
        self.log.write("resume", step=saved["step"])
        return Progress(
            state=state,
            best=best,
            best_score=np.asarray(saved["best_score"], float),
            best_step=np.asarray(saved["best_step"], int),
            step=saved["step"],
            history=saved["history"],
            seconds=saved["seconds"],
        )

    def _save(self, progress: Progress) -> None:
        assert self.checkpoint is not None
        content = {
            "step": progress.step,
            "best_score": progress.best_score.tolist(),
            "best_step": progress.best_step.tolist(),
            "history": progress.history,
            "seconds": progress.seconds,
        }
        save_checkpoint(self.checkpoint, (progress.state, progress.best), content, self.origin)

    def _exhausted(self, progress: Progress) -> bool:
        return self.patience is not None and progress.step - int(progress.best_step.max()) >= self.patience

    def _advance(self, state: State, step: int) -> State:
        problem = self.problem
        if self.order is None:
            return stepping.whole_set_step(self.recipe, state, problem.fixed, problem.train.batches, step)
        which, chosen, real = self.order(step)
        batch = problem.train.batches[which]
        usual = self.usual(len(chosen), int(real.sum()))
        make = stepping.filter_step if self.recipe.filters else stepping.mini_batch_step
        return make(self.recipe, state, problem.fixed, batch, chosen, real, usual, step)

    def usual(self, batch_size: int, n_real: int) -> dict[str, float]:
        """What to divide the errors of each term by in a mini-batch: what they weigh in a full one, on average.

        Of the real frames at most `with_forces` are looked at for forces, whatever their number: those of a mini-batch
        with fewer frames would count more than others, and are divided by so much more.
        """
        train, k = self.problem.train, self.recipe.with_forces
        frames: dict[str, float] = dict.fromkeys(train.totals, batch_size)
        if k is not None:
            frames |= {name: batch_size * min(k, n_real) / n_real for name in ("force", "stress") if name in frames}
        return {name: frames[name] * total / len(train) for name, total in train.totals.items()}

    def _measure(self, parameters: Any, samples: Samples) -> Sums:
        return stepping.measure(self.recipe, parameters, self.problem.fixed, samples.batches)

    def _report(self, progress: Progress, last: int, known: State) -> dict[str, float]:
        """The errors at this step, as the next entry of the history; keeps the best state."""
        weights, problem, state = self.recipe.weights, self.problem, progress.state
        if self.order is None:
            sums = self._measure(state.candidate, problem.train)
        else:  # averages over what was seen since the last report
            sums = state.recent
            progress.state = dataclasses.replace(state, recent=jax.tree.map(jnp.zeros_like, sums))
        entry = {"step": float(progress.step), "seconds": progress.seconds}
        entry |= _entry("", sums, weights)
        score = np.zeros(progress.best_score.shape)
        if problem.validation is not None:
            held = self._measure(state.candidate, problem.validation)
            score = held.score(weights)
            entry |= {"validation_score": float(np.mean(score))} | _entry("validation_", held, weights)
        for prefix, samples in (("", problem.train), ("validation_", problem.validation)):
            if samples is not None and not np.isfinite(entry[f"{prefix}loss"]):
                what = self._what_failed(samples, known, last, progress.step)
                loss = entry[f"{prefix}loss"]
                advice = "lower the covariance" if self.recipe.filters else "lower the learning rate, or clip"
                raise ValueError(f"`{samples.name}` led to a loss of {loss} {what}: {advice}")
        progress.history.append(entry)
        better = np.full(score.shape, True) if problem.validation is None else score < progress.best_score
        if better.ndim == 0:
            progress.best = state.candidate if better else progress.best
        else:
            progress.best = jax.tree.map(
                lambda new, old: jnp.where(better.reshape(-1, *(1,) * (new.ndim - 1)), new, old),
                state.candidate,
                progress.best,
            )
        progress.best_score = np.where(better, score, progress.best_score)
        progress.best_step = np.where(better, progress.step, progress.best_step)
        return entry

    def _what_failed(self, samples: Samples, state: State, done: int, step: int) -> str:
        """The steps since the last report again, one by one, up to the one that is no longer finite."""
        for number in range(done, step):
            before, state = state, self._advance(state, number)
            if all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(state.parameters)):
                continue
            seen, train = slice(None), self.problem.train
            batches, indices = train.batches, train.indices
            if self.order is not None:
                which, chosen, real = self.order(number)
                batches, indices = [train.batches[which]], [train.indices[which]]
                seen = np.unique(chosen[real])  # type: ignore[assignment]
            found = culprit(self.recipe, before.parameters, self.problem.fixed, batches, indices, train.labels, seen)
            return f"at step {number + 1}, {found}"
        found = culprit(
            self.recipe, state.candidate, self.problem.fixed, samples.batches, samples.indices, samples.labels
        )
        return f"at step {step}, {found}"


def _entry(prefix: str, sums: Sums, weights: Any) -> dict[str, float]:
    """Loss and errors, averaged over the members of a committee."""
    values = {"loss": np.asarray(sums.loss(weights), float), **sums.errors()}
    return {f"{prefix}{name}": float(np.mean(value)) for name, value in values.items()}


def summary(entry: dict[str, float]) -> str:
    """The errors of a history entry in meV and me."""
    parts = []
    for prefix, name in (("", "train"), ("validation_", "valid")):
        text = name
        for term, unit, digits in (("energy", "meV/atom", 1), ("force", "meV/Å", 0), ("charge", "me", 1)):
            if f"{prefix}{term}_mae" in entry:
                text += f" {1e3 * entry[f'{prefix}{term}_mae']:.{digits}f} {unit}"
        if text != name:
            parts.append(text)
    return ", ".join(parts)
