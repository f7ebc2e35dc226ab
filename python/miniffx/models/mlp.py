"""Multilayer perceptron: features to one number."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from miniffx import _checks
from miniffx._pytree import pytree, static
from miniffx.neighbors import Array

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "tanh": jnp.tanh,
    "sigmoid": jax.nn.sigmoid,
    "softplus": jax.nn.softplus,
    "silu": jax.nn.silu,
    "relu": jax.nn.relu,
    "linear": lambda x: x,
    "gaussian": lambda x: jnp.exp(-0.5 * x**2),
    "cosine": jnp.cos,
    "reverse_sigmoid": lambda x: jax.nn.sigmoid(-x),
    "exponential": lambda x: jnp.exp(-x),
    "square": lambda x: x**2,
}


@pytree
class MLP:
    """y = W_n a(… a(W_1 x + b_1) …) + b_n with one output.

    Attributes:
        weights: matrices [n_in, n_out], one per layer; the last has one column.
        biases: vectors [n_out], one per layer, None for a layer without; or () where the network has none.
        activation: between the layers: "tanh", "sigmoid" 1/(1 + exp(−x)), "softplus", "silu", "relu", "linear",
            "gaussian" exp(−x²/2), "cosine", "reverse_sigmoid" 1 − 1/(1 + exp(−x)), "exponential" exp(−x) or "square".
            Or a tuple with one name for every layer, that of the output included (static).
    """

    weights: tuple[Array, ...]
    biases: tuple[Array | None, ...]
    activation: str | tuple[str, ...] = static(default="tanh")

    def __post_init__(self) -> None:
        names = self.activation
        if not isinstance(names, str):
            object.__setattr__(self, "activation", names := tuple(names))
            if isinstance(self.weights, tuple) and len(names) != len(self.weights):
                raise ValueError(
                    f"`activation` must be one name, or one for each of {len(self.weights)} layers, got {names}"
                )
        for name in (names,) if isinstance(names, str) else names:
            if name not in ACTIVATIONS:
                raise ValueError(f"`activation` must be one of {', '.join(ACTIVATIONS)}, got {name!r}")

    @property
    def activations(self) -> tuple[str, ...]:
        """The name of the activation of every layer; one name stands for all but the last, which is then linear."""
        if isinstance(self.activation, str):
            return (self.activation,) * (len(self.weights) - 1) + ("linear",)
        return self.activation

    @classmethod
    def init(
        cls,
        key: Array,
        n_inputs: int,
        hidden: Sequence[int] = (24, 24),
        activation: str | Sequence[str] = "tanh",
        bias: bool | Sequence[bool] = True,
    ) -> MLP:
        """Random weights of variance 1/n_in (LeCun), biases 0.

        Args:
            key: from :func:`jax.random.key`.
            n_inputs: number of features.
            hidden: widths of the hidden layers; () makes a linear map.
            activation: between the layers, or one for every layer.
            bias: whether layers have biases, or one answer for every layer.

        >>> import jax, miniffx as mff
        >>> mlp = mff.MLP.init(jax.random.key(0), n_inputs=3, hidden=(8,))
        >>> mlp(jax.numpy.ones((5, 3))).shape
        (5,)
        """
        widths = [n_inputs, *hidden, 1]
        if any(not _checks.is_whole(width) or width < 1 for width in widths):
            raise ValueError(f"`n_inputs` and `hidden` must be positive integers, got {n_inputs} and {tuple(hidden)}")
        flags = (bias,) * (len(widths) - 1) if isinstance(bias, bool) else tuple(bias)
        if len(flags) != len(widths) - 1 or not all(isinstance(flag, bool) for flag in flags):
            raise ValueError(f"`bias` must be a bool, or one for each of {len(widths) - 1} layers, got {bias!r}")
        keys = jax.random.split(key, len(widths) - 1)
        layers = list(zip(keys, widths[:-1], widths[1:], strict=True))
        return cls(
            weights=tuple(jax.random.normal(k, (n, m)) / jnp.sqrt(n) for k, n, m in layers),
            biases=tuple(jnp.zeros(m) if flag else None for (_, _, m), flag in zip(layers, flags, strict=True))
            if any(flags)
            else (),
            activation=activation if isinstance(activation, str) else tuple(activation),
        )

    def __call__(self, features: Array) -> Array:
        """[..., n_inputs] to [...]."""
        x = features
        for layer, (weights, activation) in enumerate(zip(self.weights, self.activations, strict=True)):
            x = jnp.matmul(x, weights, precision=jax.lax.Precision.HIGHEST)
            if self.biases and (bias := self.biases[layer]) is not None:
                x = x + bias
            x = ACTIVATIONS[activation](x)
        return x[..., 0]

    @property
    def n_weights(self) -> int:
        """The number of trainable numbers."""
        return sum(leaf.size for leaf in jax.tree.leaves(self))
