"""The environment variables that every rank of a training needs, on any site."""

ENVIRONMENT = {
    # cuBLAS is deterministic only with a fixed workspace
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    # without it FlashAttention's backward pass adds up in any order; torch's own switch has no effect on it
    "FLASH_ATTENTION_DETERMINISTIC": "1",
    # on a CPU, page faults under large logits took 40 % of a step; huge pages save them
    "THP_MEM_ALLOC_ENABLE": "1",
}
