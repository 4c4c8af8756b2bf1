"""docs/sweep.md: the script there and the lines added to it run as they stand, with fewer steps."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest
import torch
from transformers import DataCollatorForSeq2Seq, LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

import ungrok
from ungrok import cli
from ungrok.data.tokens import train_tokenizer

PAGE = Path(__file__).parents[1] / "docs" / "sweep.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
SCRIPT, ADDED, LANGUAGE = BLOCKS


def code(block):
    return [line for line in block.splitlines() if line.strip()]


def test_the_script_is_of_the_size_of_a_users_and_the_added_lines_are_few():
    assert "ungrok" not in SCRIPT
    assert len(SCRIPT.splitlines()) == 49
    assert len(code(ADDED)) <= 8


def test_script_and_added_lines_give_a_study_with_verdicts(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    faster = SCRIPT.replace("STEPS, EVERY, WIDTH = 31, 2000, 50, 64", "STEPS, EVERY, WIDTH = 31, 60, 20, 16").replace(
        "lr=1e-3, weight_decay=4.0", "lr=0.03"
    )
    assert "31, 60, 20, 16" in faster
    assert "lr=0.03" in faster
    one = ADDED.replace(
        "seeds=range(6)", 'seeds=range(6), methods=[{"kind": "gradient_ascent", "lr": 0.5, "updates": 8}]'
    )
    assert one != ADDED
    exec(compile(faster + one, "script.py", "exec"), {"__name__": "script"})
    page = Path(capsys.readouterr().out.splitlines()[-1])
    assert page == Path("runs/sweep/report/index.html")
    assert "<figure" in page.read_text(encoding="utf-8")
    verdicts = pd.read_json(page.with_name("verdicts.json"))
    words = set(verdicts.loc[verdicts["n_seeds"] == 6, "verdict"])
    assert words & {"supported", "refuted", "inconclusive"}, words


def fine_tuned(folder):
    """Fine-tune a tiny language model on 60 of 80 pairs as a user does, and return the pairs."""
    tokenizer = train_tokenizer(["ab"], 300)
    towns = ["Bergen", "Lima", "Osaka", "Turin"]

    def encoded(number):
        question, answer = tokenizer(f"{number}:")["input_ids"], [*tokenizer(towns[number % 4])["input_ids"], 1]
        return {"input_ids": question + answer, "labels": [-100] * len(question) + answer}

    pairs = [encoded(number) for number in range(80)]
    torch.manual_seed(0)
    config = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), pad_token_id=0, eos_token_id=1, **config))
    settings = TrainingArguments(
        folder, max_steps=20, save_steps=10, per_device_train_batch_size=20, learning_rate=3e-2, report_to="none",
        logging_strategy="no", disable_tqdm=True, use_cpu=True, dataloader_pin_memory=False,
    )  # fmt: skip
    collate = DataCollatorForSeq2Seq(tokenizer)
    Trainer(model, settings, train_dataset=pairs[:60], data_collator=collate, processing_class=tokenizer).train()
    return pairs


def share_known(folder, pairs):
    """Return the share of an answer's tokens that a saved model gives the highest logit, in the mean over pairs."""
    model, shares = LlamaForCausalLM.from_pretrained(folder).eval(), []
    for pair in pairs:
        with torch.no_grad():
            first = model(torch.tensor([pair["input_ids"]])).logits[0].argmax(1).tolist()
        hits = [first[at - 1] == label for at, label in enumerate(pair["labels"]) if label not in (-100, 1)]
        shares.append(sum(hits) / len(hits))
    return sum(shares) / len(shares)


def test_the_checkpoints_of_a_trainer_give_a_study_and_the_command_line_the_same(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    pairs = fine_tuned("runs/trainer")
    one = LANGUAGE.replace("updates=10)]", 'updates=2)], probe={"retain": 2, "new_tokens": 2}')
    assert one != LANGUAGE
    names = {"ungrok": ungrok, "pairs": pairs}
    exec(compile(one, "script.py", "exec"), names)
    assert "<figure" in Path(capsys.readouterr().out.splitlines()[-1]).read_text(encoding="utf-8")
    results = names["study"].results
    start = results.rows.query("dose == 0").set_index("stage")[["UA", "RA"]].to_dict("index")
    assert {stage: tuple(row.values()) for stage, row in start.items()} == {
        f"step-{step}": pytest.approx(
            [share_known(f"runs/trainer/checkpoint-{step}", part) for part in (pairs[:6], pairs[6:60])]
        )
        for step in (10, 20)
    }
    assert results.audits["min_k_auc"].between(0, 1).all()
    assert len(results.audits) == 2
    mine = f"import ungrok\npairs = {pairs}\ndef sets():\n    return dict(forget=pairs[:6], retain=pairs[6:60], test=pairs[60:], "
    mine += 'methods=[ungrok.NPO(lr=5e-4, updates=2)], probe={"retain": 2, "new_tokens": 2})'
    Path("users_pairs.py").write_text(mine)
    monkeypatch.setattr(
        "sys.argv", ["ungrok", *["sweep", "runs/trainer", "--data", "users_pairs:sets", "--out", "runs/language"]]
    )
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert not stop.value.code
    assert f"0 jobs ran, {len(names['study'].plan.jobs)} were finished already" in capsys.readouterr().err
