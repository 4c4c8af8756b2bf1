"""Question-answer pairs as tokens: templates, tokenizers, padding, batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from string import Formatter
from typing import Any, Literal

import torch
from torch import Tensor, nn
from typing_extensions import override

from ungrok.core.causal_lm import IGNORED
from ungrok.core.errors import RecipeError, first_line, shown
from ungrok.core.objective import Objective
from ungrok.core.pretrained import open_tokenizer, refusing
from ungrok.core.scores import Scores
from ungrok.data.base import Split
from ungrok.data.stored import Index

PaddingSide = Literal["left", "right"]

EVALUATION_BATCH = 64
"""Examples of like length per forward pass of an evaluation."""


@dataclass(frozen=True)
class Template:
    """How a question becomes a prompt and an answer its continuation.

    Args:
        kind: ``plain`` puts the question into ``prompt``; ``chat`` uses the tokenizer's own chat template, the question as
            the user's turn.
        prompt: The prompt's text, with ``{question}`` where the question goes.
        max_length: Tokens per example, end included; longer examples are an error.
        side: The side on which batches are padded.

    """

    kind: Literal["plain", "chat"] = "plain"
    prompt: str = "Question: {question}\nAnswer:"
    max_length: int = 512
    side: PaddingSide = "right"


@dataclass(frozen=True, kw_only=True)
class TokenSplit(Split):
    """Examples as token ids, stored padded on the right.

    Args:
        inputs: Token ids, int64, shape (n, length).
        targets: int64, shape (n,): the author of each example, the "class" of forget rules.
        labels: int64, shape (n, length): the answer's tokens and its end, −100 elsewhere.
        lengths: int64, shape (n,): tokens of each example.
        index: int64, shape (n,): identities. A train example's is its row; a validation example's is the train row whose
            question it paraphrases.
        side: The side on which batches are padded.
        pad: The id that pads.
        eos: The id that ends answers; None where none does.
        others: Other answers to the same questions by name, such as ``refusal``; batches carry them along.

    """

    inputs: Tensor
    labels: Tensor
    lengths: Tensor
    index: Tensor
    side: PaddingSide
    pad: int
    eos: int | None
    others: dict[str, TokenSplit] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.lengths)

    def _changed(self, change: Callable[[Tensor], Tensor]) -> TokenSplit:
        names = ("inputs", "targets", "labels", "lengths", "index")
        others = {name: other._changed(change) for name, other in self.others.items()}
        changed: dict[str, Any] = {name: change(getattr(self, name)) for name in names}
        return replace(self, **changed, others=others)

    def of(self, index: Index) -> TokenSplit:
        """Return the examples that ``index`` selects."""
        return self._changed(lambda tensor: tensor[index if isinstance(index, slice) else index.to(tensor.device)])

    def to(self, device: torch.device) -> TokenSplit:
        """Return the split on ``device``."""
        return self._changed(lambda tensor: tensor.to(device))

    def batch(self, index: Index) -> dict[str, Any]:
        """Return examples as a batch that is no longer than its longest example."""
        lengths = self.lengths[index]
        places = torch.arange(int(lengths.max()), device=lengths.device).expand(len(lengths), -1)
        if self.side == "left":
            places = places - (places.shape[1] - lengths.unsqueeze(1))
        there = (places >= 0) & (places < lengths.unsqueeze(1))
        at = places.clamp(min=0)
        batch = {
            "input_ids": self.inputs[index].gather(1, at).where(there, self.pad),
            "attention_mask": there.long(),
            "labels": self.labels[index].gather(1, at).where(there, IGNORED),
            "index": self.index[index],
            "classes": self.targets[index],
        }
        return batch | {name: other.batch(index) for name, other in self.others.items()}

    def batches(self, order: Tensor | None, parts: Sequence[slice]) -> Iterator[dict[str, Any]]:
        """Yield batches, part after part of the order."""
        chosen = None if order is None else order.to(self.lengths.device)
        for part in parts:
            yield self.batch(part if chosen is None else chosen[part])

    def by_length(self, batch_size: int) -> LengthBatches:
        """Return batches of examples of like length, which waste little on padding."""
        return LengthBatches(self, batch_size)

    def evaluation(self, batch_size: int) -> LengthBatches:  # noqa: ARG002
        """Return one pass in order of length, :data:`EVALUATION_BATCH` examples at a time; ``batch_size`` is not read."""
        return self.by_length(EVALUATION_BATCH)

    @override
    def score(
        self,
        model: nn.Module,
        objective: Objective,
        batch_size: int = EVALUATION_BATCH,
        *,
        keep_logits: bool = True,
        on_losses: Callable[[Tensor], None] | None = None,
    ) -> Scores:
        if len(self) == 0:
            return objective.scores_type.empty()
        batches = self.evaluation(batch_size)
        scores = objective.score(model, batches, keep_logits=keep_logits, on_losses=on_losses)
        return scores.of(batches.order.cpu().argsort())

    def answers(self, tokenizer: Any) -> list[str]:
        """Return the true answers as text."""
        kept = [row[row != IGNORED] for row in self.labels.cpu()]
        return [text.strip() for text in tokenizer.batch_decode(kept, skip_special_tokens=True)]

    def prompts(self, index: Tensor) -> dict[str, Tensor]:
        """Return the prompts of examples, padded on the left, as generation wants them."""
        chosen = replace(self, others={}).of(index)
        bare = replace(chosen, lengths=chosen.lengths - chosen.labels.ne(IGNORED).sum(dim=1), side="left")
        batch = bare.batch(slice(None))
        return {name: batch[name] for name in ("input_ids", "attention_mask")}


class LengthBatches:
    """An iterable of batches in order of length; ``order`` says which examples they hold, one after another."""

    def __init__(self, split: TokenSplit, batch_size: int) -> None:
        self.split, self.batch_size = split, batch_size
        self.order = split.lengths.argsort(stable=True)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for index in self.order.split(self.batch_size):
            yield self.split.batch(index)


def encode(
    pairs: Sequence[tuple[str, str]],
    tokenizer: Any,
    template: Template,
    *,
    targets: Sequence[int] | None = None,
    index: Sequence[int] | None = None,
    where: str = "data",
) -> TokenSplit:
    """Tokenize question-answer pairs; answer tokens are those that hold a part of the answer.

    Args:
        pairs: Questions and answers.
        tokenizer: A tokenizer of transformers, with tokens for padding and for the end.
        template: How they are put together.
        targets: The author of each pair; 0 when None.
        index: The identity of each pair; its row when None.
        where: Name of the pairs in errors.

    Raises:
        RecipeError: If an answer is empty, an example too long, or the tokenizer lacks what is needed.

    """
    check_tokenizer(tokenizer, template)
    rows: list[tuple[list[int], list[int]]] = []
    name = getattr(tokenizer, "name_or_path", "") or "the tokenizer"
    for number, (question, answer) in enumerate(pairs):
        if not answer.strip():
            raise RecipeError(f"{where}, row {number}: the answer to {shown(question)} is empty")
        with refusing(f"{where}, row {number}: cannot be tokenized by {name!r}"):
            prompt, continuation = _parts(question, answer, tokenizer, template)
        if len(prompt) + len(continuation) > template.max_length:
            raise RecipeError(
                f"{where}, row {number}: {len(prompt) + len(continuation)} tokens, which is more than "
                f"problem.max_length {template.max_length} ({shown(question)})"
            )
        rows.append((prompt, continuation))
    n, lengths = len(rows), torch.tensor([len(p) + len(a) for p, a in rows])
    input_ids = torch.full((n, int(lengths.max())), tokenizer.pad_token_id)
    labels = torch.full_like(input_ids, IGNORED)
    for row, (prompt, continuation) in enumerate(rows):
        input_ids[row, : lengths[row]] = torch.tensor(prompt + continuation)
        labels[row, len(prompt) : lengths[row]] = torch.tensor(continuation)
    chosen = torch.arange(n) if index is None else torch.tensor(list(index), dtype=torch.int64)
    authors = torch.zeros(n, dtype=torch.int64) if targets is None else torch.tensor(list(targets), dtype=torch.int64)
    return TokenSplit(
        inputs=input_ids,
        targets=authors,
        labels=labels,
        lengths=lengths,
        index=chosen,
        side=template.side,
        pad=tokenizer.pad_token_id,
        eos=tokenizer.eos_token_id,
    )


def _parts(question: str, answer: str, tokenizer: Any, template: Template) -> tuple[list[int], list[int]]:
    """Return the tokens of prompt and answer, the end included; after a plain prompt the answer begins with a space.

    The whole text is tokenized at once and cut before the first token that holds a part of the answer: by itself an answer can
    have other tokens, since many tokenizers put a space before whatever a text begins with.
    """
    chat = template.kind == "chat"
    if chat:
        turns = [{"role": "user", "content": question}]
        prompt = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    else:
        prompt = template.prompt.format(question=question.strip())
    whole = prompt + ("" if chat else " ") + answer.strip()
    tokens, cut = (_cut if tokenizer.is_fast else _cut_by_prefix)(whole, prompt, tokenizer, special=not chat)
    return tokens[:cut], [*tokens[cut:], tokenizer.eos_token_id]


def _cut(whole: str, prompt: str, tokenizer: Any, *, special: bool) -> tuple[list[int], int]:
    """Return the tokens of a text, without special ones after its end, and the number of those that belong to the prompt."""
    coded = tokenizer(whole, add_special_tokens=special, return_offsets_mapping=True, return_special_tokens_mask=True)
    tokens, added = list(coded["input_ids"]), coded["special_tokens_mask"]
    while tokens and added[len(tokens) - 1]:
        tokens.pop()
    ends = [end for _, end in coded["offset_mapping"][: len(tokens)]]
    return tokens, next((place for place, end in enumerate(ends) if end > len(prompt)), len(tokens))


def _cut_by_prefix(whole: str, prompt: str, tokenizer: Any, *, special: bool) -> tuple[list[int], int]:
    """Return the same by a tokenizer that does not say which characters its tokens stand for."""
    tokens, before = (
        _without_end(tokenizer(text, add_special_tokens=special)["input_ids"], tokenizer) for text in (whole, prompt)
    )
    if tokens[: len(before)] != before:
        raise RecipeError(
            f"problem.tokenizer: {tokenizer.name_or_path!r} joins the end of a prompt to the answer and does not say where its "
            f"tokens lie; take its fast version ({prompt[-20:]!r})"
        )
    return tokens, len(before)


def _without_end(tokens: list[int], tokenizer: Any) -> list[int]:
    return tokens[:-1] if tokens and tokens[-1] == tokenizer.eos_token_id else tokens


def check_tokenizer(tokenizer: Any, template: Template) -> None:
    """Raise RecipeError unless the tokenizer can pad, end an answer, and fill the template."""
    name = getattr(tokenizer, "name_or_path", "") or "the tokenizer"
    if tokenizer.eos_token_id is None:
        raise RecipeError(f"problem.tokenizer: {name!r} has no token for the end of a text")
    if tokenizer.pad_token_id is None:
        raise RecipeError(
            f"problem.tokenizer: {name!r} has no token for padding; set problem.pad_token, for instance to its end token "
            f"{tokenizer.eos_token!r} (padding is masked, so which one does not matter)"
        )
    if template.kind == "chat" and not tokenizer.chat_template:
        raise RecipeError(f"problem.template: {name!r} has no chat template; allowed: plain")
    if template.kind == "chat":
        with refusing(f"problem.template: the chat template of {name!r} cannot be filled"):
            filled = tokenizer.apply_chat_template(
                [{"role": "user", "content": "\0"}], add_generation_prompt=True, tokenize=False
            )
        if "\0" not in filled:
            raise RecipeError(f"problem.template: the chat template of {name!r} leaves the question out")
    if template.kind == "plain":
        _check_prompt(template.prompt)


def _check_prompt(prompt: str) -> None:
    """Raise RecipeError unless a plain template has ``{question}`` in it and asks for nothing else."""
    try:
        parts = [part[1:] for part in Formatter().parse(prompt) if part[1] is not None]
    except ValueError as error:
        raise _unfillable(prompt, first_line(error)) from None
    other = [name for name, form, conversion in parts if (name, form, conversion) != ("question", "", None)]
    if other:
        raise _unfillable(prompt, f"asks for {shown(other[0])}, or for a form of it")
    if not parts:
        raise RecipeError(f"problem.prompt: {shown(prompt)} has no place for {{question}}")


def _unfillable(prompt: str, reason: str) -> RecipeError:
    return RecipeError(f"problem.prompt: {shown(prompt)} cannot be filled ({reason}); allowed: {{question}} alone")


def load_tokenizer(name: str, pad_token: str | None, file: str | None = None) -> Any:
    """Return the tokenizer of a hub id or a local folder, or of a GGUF file in it.

    Raises:
        RecipeError: If it cannot be loaded, or does not know ``pad_token``.

    """
    tokenizer = open_tokenizer(name, file)
    if pad_token is not None:
        if tokenizer.convert_tokens_to_ids(pad_token) in (None, tokenizer.unk_token_id) and pad_token not in (
            tokenizer.get_vocab()
        ):
            raise RecipeError(f"problem.pad_token: {pad_token!r} is not a token of {name!r}")
        tokenizer.pad_token = pad_token
    return tokenizer


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> Any:
    """Return a byte-level BPE tokenizer trained on ``texts``; the same texts give the same tokenizer.

    Tokens 0 and 1 are ``<pad>`` and ``<end>``; any text can be encoded.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=["<pad>", "<end>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    core.train_from_iterator(texts, trainer)
    make: Any = PreTrainedTokenizerFast
    return make(tokenizer_object=core, pad_token="<pad>", eos_token="<end>")  # noqa: S106
