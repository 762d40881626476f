"""Packs a folder of clean text with datatrove, the peer of `benchmarks.pack`, and prints the CPU seconds that it took."""

import sys
import time

if __name__ == "__main__":
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.tokens import DocumentTokenizer

    text, tokenizer, output = sys.argv[1:]
    clock = time.process_time()
    packer = DocumentTokenizer(output, tokenizer, shuffle_documents=False)
    packer.run(JsonlReader(text).run(), 0, 1)
    print(time.process_time() - clock)
