"""What is known of a model before it exists: its shape, and how many parameters it has; for Mistral, Mixtral and Llama."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelShape:
    """The sizes of a decoder with grouped-query attention and a gated feed-forward layer, of one expert or several."""

    hidden_size: int
    intermediate_size: int
    layers: int
    heads: int
    key_value_heads: int
    head_dimension: int
    sliding_window: int | None
    tie_word_embeddings: bool
    experts: int | None
    experts_per_token: int | None

    @property
    def attention_parameters(self) -> int:
        """In one layer: queries, keys, values, output."""
        return 2 * self.hidden_size * self.head_dimension * (self.heads + self.key_value_heads)

    @property
    def expert_parameters(self) -> int:
        """In one expert of one layer: gate, up, down."""
        return 3 * self.hidden_size * self.intermediate_size

    @property
    def router_parameters(self) -> int:
        """In one layer; 0 without experts."""
        return self.hidden_size * (self.experts or 0)

    def layer_parameters(self, experts: int) -> int:
        """In one layer with so many experts, its two norms included."""
        return self.attention_parameters + experts * self.expert_parameters + self.router_parameters + 2 * self.hidden_size


@dataclass(frozen=True)
class ModelSummary:
    """What is known of a model before it exists."""

    vocabulary: int | None
    """Rows of the embedding and of the head."""
    shape: ModelShape | None

    def parameters(self) -> int | None:
        """How many weights it has; None if something is not known."""
        return self._count(self.shape.experts or 1) if self.shape else None

    def active_parameters(self) -> int | None:
        """How many weights one token goes through: of the experts, only those that the token is sent to."""
        return self._count(self.shape.experts_per_token or 1) if self.shape else None

    def _count(self, experts: int) -> int | None:
        if self.shape is None or self.vocabulary is None:
            return None
        matrices = 1 if self.shape.tie_word_embeddings else 2
        around = matrices * self.vocabulary * self.shape.hidden_size + self.shape.hidden_size  # and the last norm
        return around + self.shape.layers * self.shape.layer_parameters(experts)


UNKNOWN_MODEL = ModelSummary(None, None)
"""The summary of a model of which nothing is known yet."""
