#include "moments.h"

#include "knlp/core/error.h"
#include "knlp/optim/spam.h"

#include <nlohmann/json.hpp>

#include <cmath>
#include <deque>
#include <numeric>

namespace knlp::optim {

namespace {

constexpr size_t kMinHistory = 10;  // norms needed before one can be called outlying
constexpr double kSpikeFirst = 0.5, kSpikeSecond = 0.9;
constexpr double kKnlpFloor = 1e-12;

/// AdamW with spike-aware clipping and momentum reset (Huang et al. 2025, arXiv 2501.06842).
/// Everything is a function of the step number t, counted here and nowhere else.
class AdamWSpam final : public Optimizer {
public:
    AdamWSpam(const config::Optimizer& options, std::span<model::Parameter> parameters)
        : options_(options), moments_(parameters, options.weight_decay, options.spam_amsgrad) {}

    StepInfo step(double lr) override;
    std::vector<NamedState> tensors() override { return moments_.tensors(); }
    std::string scalars() const override {
        return nlohmann::json{{"step", steps_}, {"last_reset", last_reset_}, {"norms", norms_}}
            .dump();
    }
    void load_scalars(const std::string& text) override;

private:
    bool outlying(double norm) const;
    config::Optimizer options_;
    Moments moments_;
    int64_t steps_ = 0;                 // updates made
    int64_t last_reset_ = kNeverReset;  // step of the last reset
    std::deque<double> norms_;          // of the last steps, oldest first
};

bool AdamWSpam::outlying(double norm) const {
    if (!options_.spam_zscore || norms_.size() < kMinHistory) return false;
    const auto n = static_cast<double>(norms_.size());
    const double mean = std::accumulate(norms_.begin(), norms_.end(), 0.0) / n;
    double square = 0;
    for (double past : norms_) square += (past - mean) * (past - mean);
    const double deviation = std::sqrt(square / n);
    return deviation > 0 && (norm - mean) / deviation > options_.spam_spike_threshold;
}

StepInfo AdamWSpam::step(double lr) {
    const int64_t t = steps_ + 1;
    const bool reset = options_.spam_interval > 0 && t % options_.spam_interval == 0;
    const int64_t last_reset = reset ? t : last_reset_;
    const int64_t since = last_reset == kNeverReset ? kNeverReset : t - last_reset;
    ElementClip clip;
    if (spam_clips(options_, t, since == kNeverReset ? t - 1 : since))
        clip = {.theta = options_.spam_theta, .floor = options_.spam_knlp ? kKnlpFloor : 0.0};
    GradientNorms norms = moments_.norms(clip);
    StepInfo info{.grad_norm = norms.raw};
    if (!std::isfinite(norms.raw)) {
        info.finite = false;
        info.first_bad = norms.first_bad;
        return info;
    }
    if (reset) {
        moments_.zero();
        norms = moments_.norms(clip);  // limits follow the moments, which are zero now
    }
    if (outlying(norms.raw)) {
        moments_.scale(kSpikeFirst, kSpikeSecond);
        // Elements are held to the limits of the moments as they were before.
        clip = {.theta = clip.theta / kSpikeSecond, .floor = clip.floor * kSpikeSecond};
    }
    if (options_.spam_zscore) {
        norms_.push_back(norms.raw);
        while (std::ssize(norms_) > options_.spam_zscore_window) norms_.pop_front();
    }
    info.clip = clip_factor(norms.clipped, options_.clip_norm);
    moments_.update({.clip = clip,
                     .grad_scale = info.clip,
                     .beta1 = options_.beta1,
                     .beta2 = options_.beta2,
                     .epsilon = options_.epsilon,
                     .lr = lr,
                     .step_scale = spam_warmup(options_, since),
                     .bias_steps = options_.spam_reset_bias && since != kNeverReset ? since + 1 : t,
                     .decay_after = true});
    steps_ = t;
    last_reset_ = last_reset;
    return info;
}

void AdamWSpam::load_scalars(const std::string& text) {
    try {
        const nlohmann::json json = nlohmann::json::parse(text);
        steps_ = json.at("step").get<int64_t>();
        last_reset_ = json.at("last_reset").get<int64_t>();
        norms_ = json.at("norms").get<std::deque<double>>();
    } catch (const nlohmann::json::exception& error) {
        fail(kData, "optimizer state of adamw_spam wants 'step', 'last_reset' and 'norms': {}",
             error.what());
    }
}

std::unique_ptr<Optimizer> make(const config::Optimizer& options,
                                std::span<model::Parameter> parameters) {
    return std::make_unique<AdamWSpam>(options, parameters);
}

int64_t state_tensors(const config::Optimizer& options) {
    return options.spam_amsgrad ? 3 : 2;
}

}  // namespace

extern const OptimizerType optim_adamw_spam;
const OptimizerType optim_adamw_spam = {.name = "adamw_spam",
                                        .symbol = "ENABLE_SPAM",
                                        .summary = "AdamW with spike clipping and momentum reset",
                                        .state_tensors = state_tensors,
                                        .make = make};

}  // namespace knlp::optim
