"""Generation, perplexity and HellaSwag against the same work done with transformers."""
import json
import math
import random
import re

import torch

from peers import open_gpt2, random_ids

DATA_SEED = 20261123


def generation(peers):
    """Greedy text of knlp is greedy text of transformers, token for token."""
    where = peers.scratch / "theirs-F32-single"
    model = open_gpt2(where)
    prompts = ["A", "The quick brown", "x = y + z; // why not\n"]
    (peers.scratch / "prompts.jsonl").write_text("".join(json.dumps(p) + "\n" for p in prompts))
    tokenizer = peers.directory("byte-tokenizer")
    (tokenizer / "tokenizer.json").write_text(json.dumps({"type": "knlp.byte"}))
    for name, flags in (("with cache", []), ("without cache", ["--no-cache"]), ("chunks of 7", ["--prefill-chunk", 7])):
        rows = json.loads(peers.knlp("generate", "--threads", peers.threads, "--model", where, "--tokenizer",
                                     tokenizer, "--batch-file", "prompts.jsonl", "-n", 60, "--greedy", "--ignore-eot", "--json", *flags))["rows"]
        for prompt, row in zip(prompts, rows):
            ids = torch.tensor([list(prompt.encode())])
            with torch.no_grad():
                theirs = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=60, do_sample=False,
                                        eos_token_id=None, pad_token_id=0)[0, ids.size(1):].tolist()
            peers.equal(f"greedy {name}, prompt of {ids.size(1)}", row["ids"], theirs, "60 tokens as transformers")


def perplexity(peers):
    """Disjoint windows, and the sliding windows of the transformers documentation."""
    where = peers.scratch / "export"
    model = open_gpt2(where)
    text = peers.text().read_bytes()[:6000]
    (peers.scratch / "sample.txt").write_bytes(text)
    ids = torch.tensor([list(text)])
    n_ctx = model.config.n_positions
    for stride in (n_ctx, 50):
        nll, count, previous_end = 0.0, 0, 0
        for begin in range(0, ids.size(1), stride):
            end = min(begin + n_ctx, ids.size(1))
            window = ids[:, begin:end]
            first = max(begin + 1, previous_end) - begin
            with torch.no_grad():
                log_p = torch.log_softmax(model(window).logits[0, :-1].double(), -1)
            nll -= log_p[first - 1:].gather(1, window[0, first:, None]).sum().item()
            count += window.size(1) - first
            previous_end = end
            if end == ids.size(1):
                break
        mode = ["chunk"] if stride == n_ctx else ["stride", stride]
        ours = json.loads(peers.knlp("eval", "--task", "ppl", "--threads", peers.threads, "--mode", *mode, "--model", where, "--data", "sample.txt",
                                     "--tokenizer", peers.scratch / "byte-tokenizer", "--json"))
        name = f"perplexity, {' '.join(map(str, mode))}"
        peers.equal(f"{name}: tokens scored", [ours["tokens"]], [count], f"{count} tokens")
        peers.within(f"{name}: loss", abs(ours["loss"] - nll / count), 1e-5, "|difference|")
        # A byte a token: bits per byte = loss / ln 2.
        peers.within(f"{name}: bits per byte", abs(ours["bits_per_byte"] - nll / count / math.log(2)), 1e-5,
                     "|difference|")


def harness_text(text):
    """preprocess() of lm-evaluation-harness's hellaswag task."""
    text = text.strip().replace(" [title]", ". ")
    return re.sub("\\[.*?\\]", "", text).replace("  ", " ")


def hellaswag_items(count):
    draw = random.Random(DATA_SEED)
    words = "the a man woman sits [step] runs [title] quickly up. down, Then She he água  water".split(" ")
    text = lambda low, high: " ".join(draw.choice(words) for _ in range(draw.randint(low, high)))
    for _ in range(count):
        ctx_a, ctx_b = text(3, 9), text(1, 4)
        yield {"activity_label": "Doing " + draw.choice(words), "ctx_a": ctx_a, "ctx_b": ctx_b,
               "ctx": ctx_a + " " + ctx_b, "endings": ["w " + text(1, 6) for _ in range(4)], "label": draw.randrange(4)}


def hellaswag(peers):
    """Each ending alone, unpadded, through transformers."""
    where = peers.scratch / "export"
    model = open_gpt2(where)
    items = list(hellaswag_items(25))
    (peers.scratch / "hellaswag.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    for style in ("harness", "completion"):
        peers.knlp("eval", "--task", "hellaswag", "--threads", peers.threads, "--model", where, "--data", "hellaswag.jsonl", "--style", style,
                   "--tokenizer", peers.scratch / "byte-tokenizer", "--out", "hellaswag.json")
        ours = json.loads((peers.scratch / "hellaswag.json").read_text())
        worst, right, right_norm = 0.0, 0, 0
        for item, row in zip(items, ours["items"]):
            context = item["ctx"]
            if style == "harness":
                context = harness_text(item["activity_label"] + ": " + item["ctx_a"] + " " + item["ctx_b"].capitalize())
            scores, normalized = [], []
            for ending in item["endings"]:
                ending = harness_text(ending) if style == "harness" else ending
                ids = list(context.encode()) + list((" " + ending).encode())
                length = len((" " + ending).encode())
                ids = ids[-model.config.n_positions:]
                with torch.no_grad():
                    log_p = torch.log_softmax(model(torch.tensor([ids])).logits[0].double(), -1)
                targets = torch.tensor(ids[-length:])
                scores.append(log_p[-length - 1:-1].gather(1, targets[:, None]).sum().item())
                normalized.append(scores[-1] / (len(ending) if style == "harness" else length))
            worst = max(worst, max(abs(a - b) for a, b in zip(scores, row["log_prob"])))
            right += scores.index(max(scores)) == item["label"]
            right_norm += normalized.index(max(normalized)) == item["label"]
        peers.within(f"hellaswag {style}: log-probabilities", worst, 1e-3)
        peers.equal(f"hellaswag {style}: right answers", [ours["acc"]["right"], ours["acc_norm"]["right"]],
                    [right, right_norm], f"{right} and, normalized, {right_norm} of {len(items)}")


CHECKS = [generation, perplexity, hellaswag]
