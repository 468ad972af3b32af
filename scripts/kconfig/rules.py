"""Rules that Kconfig cannot say, because they compare numbers of different symbols. The binary has the
same ones in src/config/rules.cpp, for values that an override brings; here they are known before a build.

That GPT2_CUSTOM_DATASET_PATH may not be empty is left to the binary: a configuration is whole without it,
as a random one is, and the path may come with the command."""

from problems import Problem

GPT2_VOCAB = 50257


class Rules:
    """The values of KCONF, and the line of each symbol that REQUESTS set."""

    def __init__(self, kconf, requests):
        self.kconf, self.problems = kconf, []
        self.lines = {request.name: request.where for request in reversed(requests)}

    def text(self, name):
        return self.kconf.syms[name].str_value

    def on(self, name):
        return self.text(name) == "y"

    def integer(self, name):
        return int(self.text(name) or "0", 0)

    def refuse(self, names, text):
        """Names the line of the first of NAMES that has one."""
        where = next((self.lines[name] for name in names if name in self.lines), "")
        self.problems.append(Problem("E_RANGE", where, text))


def check_model(rules):
    width, heads = rules.integer("GPT2_N_EMBD"), rules.integer("GPT2_N_HEAD")
    if rules.on("GPT2_MODEL_CUSTOM") and width % heads:
        rules.refuse(
            ("GPT2_N_EMBD", "GPT2_N_HEAD"),
            f"GPT2_N_EMBD={width} is no multiple of GPT2_N_HEAD={heads}; heads share the width "
            f"equally, so take {width // heads * heads} or {(width // heads + 1) * heads}",
        )
    vocab, pad = rules.integer("GPT2_VOCAB_SIZE"), rules.integer("GPT2_PAD_VOCAB")
    if 0 < vocab < pad:
        rules.refuse(
            ("GPT2_PAD_VOCAB", "GPT2_VOCAB_SIZE"),
            f"GPT2_PAD_VOCAB={pad} is larger than GPT2_VOCAB_SIZE={vocab}; allowed 1..{vocab}",
        )
    needed = 0
    if rules.on("GPT2_TOKENIZER_GPT2"):
        needed = GPT2_VOCAB
    elif rules.on("GPT2_TOKENIZER_BPE_TRAINED"):
        needed = rules.integer("GPT2_BPE_VOCAB")
    if 0 < vocab < needed:
        rules.refuse(
            ("GPT2_VOCAB_SIZE",),
            f"GPT2_VOCAB_SIZE={vocab} is smaller than the tokenizer's vocabulary of {needed}; "
            f"allowed 0 (take the tokenizer's) or {needed} and more",
        )


def check_training(rules):
    budgets = ("GPT2_MAX_ITERS", "GPT2_MAX_TOKENS", "GPT2_MAX_TIME")
    if not any(rules.integer(name) for name in budgets):
        rules.refuse(
            budgets,
            "GPT2_MAX_ITERS=0, GPT2_MAX_TOKENS=0 and GPT2_MAX_TIME=0: the run would never end; set "
            "one of them to more than 0",
        )
    low, high = rules.text("GPT2_MIN_LR"), rules.text("LEARNING_RATE")
    if rules.on("GPT2_DECAY_LR") and float(low) > float(high):
        rules.refuse(
            ("GPT2_MIN_LR", "LEARNING_RATE"),
            f"GPT2_MIN_LR={low} is above LEARNING_RATE={high}; allowed [0, {high}]",
        )


def check_optimizer(rules):
    warmup, interval = rules.integer("SPAM_WARMUP_STEPS"), rules.integer("SPAM_INTERVAL")
    if rules.on("OPTIMIZER_SELECT_ADAMWSPAM") and 0 < interval < warmup:
        rules.refuse(
            ("SPAM_WARMUP_STEPS", "SPAM_INTERVAL"),
            f"SPAM_WARMUP_STEPS={warmup} does not end by the next reset, SPAM_INTERVAL={interval}; "
            f"allowed 0..{interval}",
        )


def check(kconf, requests):
    rules = Rules(kconf, requests)
    check_model(rules)
    check_training(rules)
    check_optimizer(rules)
    return rules.problems
