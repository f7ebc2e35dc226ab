"""Multilayer perceptron: features to one number."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from miniffx._pytree import pytree, static
from miniffx.neighbors import Array

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "tanh": jnp.tanh,
    "sigmoid": jax.nn.sigmoid,
    "softplus": jax.nn.softplus,
    "silu": jax.nn.silu,
    "relu": jax.nn.relu,
    "linear": lambda x: x,
}


@pytree
class MLP:
    """y = W_n a(… a(W_1 x + b_1) …) + b_n with one output.

    Attributes:
        weights: matrices [n_in, n_out], one per layer; the last has one column.
        biases: vectors [n_out], one per layer, or () where the network has none.
        activation: "tanh", "sigmoid", "softplus", "silu", "relu" or "linear", between the layers (static).
    """

    weights: tuple[Array, ...]
    biases: tuple[Array, ...]
    activation: str = static(default="tanh")

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"`activation` must be one of {', '.join(ACTIVATIONS)}, got {self.activation!r}")

    @classmethod
    def init(
        cls,
        key: Array,
        n_inputs: int,
        hidden: Sequence[int] = (24, 24),
        activation: str = "tanh",
        bias: bool = True,
    ) -> MLP:
        """Random weights of variance 1/n_in (LeCun), biases 0.

        Args:
            key: from :func:`jax.random.key`.
            n_inputs: number of features.
            hidden: widths of the hidden layers; () makes a linear map.
            activation: between the layers.
            bias: whether layers have biases.

        >>> import jax, miniffx as mff
        >>> mlp = mff.MLP.init(jax.random.key(0), n_inputs=3, hidden=(8,))
        >>> mlp(jax.numpy.ones((5, 3))).shape
        (5,)
        """
        widths = [n_inputs, *hidden, 1]
        if any(not isinstance(width, int) or width < 1 for width in widths):
            raise ValueError(f"`n_inputs` and `hidden` must be positive integers, got {n_inputs} and {tuple(hidden)}")
        keys = jax.random.split(key, len(widths) - 1)
        layers = list(zip(keys, widths[:-1], widths[1:], strict=True))
        return cls(
            weights=tuple(jax.random.normal(k, (n, m)) / jnp.sqrt(n) for k, n, m in layers),
            biases=tuple(jnp.zeros(m) for _, _, m in layers) if bias else (),
            activation=activation,
        )

    def __call__(self, features: Array) -> Array:
        """[..., n_inputs] to [...]."""
        x = features
        for layer, weights in enumerate(self.weights):
            if layer:
                x = ACTIVATIONS[self.activation](x)
            x = jnp.matmul(x, weights, precision=jax.lax.Precision.HIGHEST)
            if self.biases:
                x = x + self.biases[layer]
        return x[..., 0]

    @property
    def n_weights(self) -> int:
        """The number of trainable numbers."""
        return sum(leaf.size for leaf in jax.tree.leaves(self))
