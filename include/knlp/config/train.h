#pragma once

#include <cstdint>
#include <string>

namespace knlp::config {

class Symbols;

enum class Schedule { kCosine, kLinear, kWsd, kConstant };
enum class Precision { kFloat32, kBfloat16 };

struct Optimizer {
    std::string name = "adamw";  // row of the optimizer table: adamw, adamw_spam
    double beta1 = 0.9, beta2 = 0.95, epsilon = 1e-8;
    double weight_decay = 0.1;  // not on biases, norms, embeddings, 1-D tensors
    double clip_norm = 1.0;     // global norm; 0 = off
    // SPAM (arXiv 2501.06842); docs/optimizers.md
    bool spam_knlp = false;  // KNLP mode, else PAPER
    double spam_theta = 5000.0;
    bool spam_clip = true, spam_reset_bias = false, spam_amsgrad = false, spam_zscore = false;
    double spam_spike_threshold = 2.0;
    int64_t spam_interval = 500, spam_warmup_steps = 150, spam_grace_steps = 20,
            spam_zscore_window = 100;
};

struct Train {
    bool auto_batch = false;       // micro-batch from free memory; effective batch stays exact
    int64_t effective_batch = 16;  // sequences per optimizer step, over all ranks
    int64_t batch = 16;            // micro-batch, sequences; ignored with auto_batch
    int64_t accumulation = 1;
    int64_t max_iters = 0, max_tokens = 0;  // 0 = off
    double max_time_s = 0;                  // 0 = off
    double learning_rate = 6e-4, min_lr = 6e-5;
    bool decay_lr = true;
    Schedule schedule = Schedule::kCosine;
    int64_t warmup_steps = 100;
    double warmup_fraction = 0.05;  // of progress, when a time budget is set
    int64_t eval_interval = 100, log_interval = 10;
    Precision precision = Precision::kFloat32, eval_precision = Precision::kFloat32;
    bool save_checkpoint = true;
    int64_t checkpoint_interval = 1000, checkpoint_keep = 3;
    int64_t max_bad_steps = 10;  // consecutive non-finite steps before the run stops
    bool sanity_overfit = false;
    std::string gemm = "auto";  // auto native aten onednn
    bool tensorboard = true;
    double sys_monitor_s = 1;  // between two lines of sys_stats.jsonl; 0 = none
    int64_t sample_tokens = 500, sample_top_k = 200;
    double sample_temperature = 0.8, sample_top_p = 1.0;
};
Train read_train(const Symbols& symbols);
Optimizer read_optimizer(const Symbols& symbols);

}  // namespace knlp::config
