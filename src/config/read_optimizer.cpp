#include "knlp/config/symbols.h"
#include "knlp/config/train.h"
#include "knlp/core/error.h"

namespace knlp::config {
namespace {

void read_spam(const Symbols& symbols, Optimizer& o) {
    o.spam_knlp = symbols.on("SPAM_MODE_KNLP");
    o.spam_clip = symbols.on("SPAM_ENABLE_CLIP");
    if (o.spam_clip) {
        o.spam_theta = symbols.real("SPAM_THETA", {.max = 1e12, .above = 0.0});
        o.spam_grace_steps = symbols.integer("SPAM_GRACE_STEPS");
    }
    o.spam_interval = symbols.integer("SPAM_INTERVAL");
    if (o.spam_interval > 0) {
        o.spam_warmup_steps = symbols.integer("SPAM_WARMUP_STEPS");
        o.spam_reset_bias = symbols.on("SPAM_RESET_BIAS");
    }
    o.spam_amsgrad = symbols.on("SPAM_AMSGRAD");
    o.spam_zscore = symbols.on("SPAM_ZSCORE");
    if (o.spam_zscore) {
        o.spam_spike_threshold =
            symbols.real("SPAM_SPIKE_THRESHOLD", {.max = 1000.0, .above = 0.0});
        o.spam_zscore_window = symbols.integer("SPAM_ZSCORE_WINDOW");
    }
}

}  // namespace

Optimizer read_optimizer(const Symbols& symbols) {
    if (symbols.on("OPTIMIZER_MODE_MULTIPLE"))
        fail_code(kConfig, "E_CHOICE",
                  "OPTIMIZER_MODE_MULTIPLE=y: several optimizers are arms of a test matrix, see "
                  "`knlp matrix plan`; set OPTIMIZER_MODE_SINGLE=y for a single run");
    Optimizer o;
    o.beta1 = symbols.real("ADAM_BETA1", {.min = 0.0, .below = 1.0});
    o.beta2 = symbols.real("ADAM_BETA2", {.min = 0.0, .below = 1.0});
    o.epsilon = symbols.real("ADAM_EPSILON", {.max = 1.0, .above = 0.0});
    o.weight_decay = symbols.real("WEIGHT_DECAY", {.min = 0.0, .max = 10.0});
    o.clip_norm = symbols.real("GRADIENT_CLIP_NORM", {.min = 0.0, .max = 1e6});
    if (symbols.on("OPTIMIZER_SELECT_ADAMWSPAM")) {
        o.name = "adamw_spam";
        read_spam(symbols, o);
    }
    return o;
}

}  // namespace knlp::config
