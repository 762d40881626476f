"""What every rank of a training needs in its environment, on any site."""

ENVIRONMENT = {
    # cuBLAS is deterministic only with a fixed workspace
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    # FlashAttention's backward adds up in any order otherwise; torch's own switch does not reach it
    "FLASH_ATTENTION_DETERMINISTIC": "1",
    # on a CPU, page faults under large logits took 40 % of a step; huge pages save them
    "THP_MEM_ALLOC_ENABLE": "1",
}
