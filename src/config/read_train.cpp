#include "knlp/config/train.h"

#include "knlp/config/symbols.h"

namespace knlp::config {
namespace {

Precision precision_of(const std::string& text) {
    return text == "bfloat16" ? Precision::kBfloat16 : Precision::kFloat32;
}

void read_batch(const Symbols& symbols, Train& t) {
    t.auto_batch = symbols.on("HYPER_PARAM_AUTO");
    if (t.auto_batch) {
        t.effective_batch = symbols.integer("TARGET_EFFECTIVE_BATCH");
        return;
    }
    t.batch = symbols.integer("BATCH_SIZE");
    t.accumulation = symbols.integer("GRADIENT_ACCUMULATION");
    t.effective_batch = t.batch * t.accumulation;
}

void read_schedule(const Symbols& symbols, Train& t) {
    t.max_iters = symbols.integer("GPT2_MAX_ITERS");
    t.max_tokens = symbols.integer("GPT2_MAX_TOKENS");
    t.max_time_s = static_cast<double>(symbols.integer("GPT2_MAX_TIME"));
    t.learning_rate = symbols.real("LEARNING_RATE", {.max = 100.0, .above = 0.0});
    t.decay_lr = symbols.on("GPT2_DECAY_LR");
    if (t.decay_lr) t.min_lr = symbols.real("GPT2_MIN_LR", {.min = 0.0, .max = 100.0});
    t.schedule = symbols.on("LR_SCHEDULE_COSINE")   ? Schedule::kCosine
                 : symbols.on("LR_SCHEDULE_LINEAR") ? Schedule::kLinear
                 : symbols.on("LR_SCHEDULE_WSD")    ? Schedule::kWsd
                                                    : Schedule::kConstant;
    t.warmup_steps = symbols.integer("GPT2_WARMUP_STEPS");
    t.warmup_fraction = symbols.real("GPT2_WARMUP_FRACTION", {.min = 0.0, .max = 0.5});
}

void read_records(const Symbols& symbols, Train& t) {
    t.eval_interval = symbols.integer("GPT2_EVAL_INTERVAL");
    t.log_interval = symbols.integer("GPT2_LOG_INTERVAL");
    t.save_checkpoint = symbols.on("SAVE_CHECKPOINT");
    if (t.save_checkpoint) {
        t.checkpoint_interval = symbols.integer("CHECKPOINT_INTERVAL");
        t.checkpoint_keep = symbols.integer("CHECKPOINT_KEEP");
    }
    t.tensorboard = symbols.on("ENABLE_TENSORBOARD");
    t.sys_monitor_s = 0;
    if (symbols.on("SYS_MONITOR"))
        t.sys_monitor_s = static_cast<double>(symbols.integer("SYS_MONITOR_INTERVAL_MS")) / 1e3;
    t.sample_tokens = symbols.integer("GPT2_GENERATION_MAX_TOKENS");
    t.sample_top_k = symbols.integer("GPT2_GENERATION_TOP_K");
    t.sample_temperature = symbols.real("GPT2_GENERATION_TEMPERATURE", {.max = 10.0, .above = 0.0});
    t.sample_top_p = symbols.real("GPT2_GENERATION_TOP_P", {.max = 1.0, .above = 0.0});
}

}  // namespace

Train read_train(const Symbols& symbols) {
    Train t;
    read_batch(symbols, t);
    read_schedule(symbols, t);
    read_records(symbols, t);
    if (symbols.on("MIXED_PRECISION")) t.precision = precision_of(symbols.text("GPT2_AMP_DTYPE"));
    t.eval_precision = precision_of(symbols.text("EVAL_PRECISION"));
    t.max_bad_steps = symbols.integer("MAX_BAD_STEPS");
    t.sanity_overfit = symbols.on("SANITY_OVERFIT");
    t.gemm = symbols.on("GEMM_NATIVE")   ? "native"
             : symbols.on("GEMM_ATEN")   ? "aten"
             : symbols.on("GEMM_ONEDNN") ? "onednn"
                                         : "auto";
    return t;
}

}  // namespace knlp::config
