#include "preflight.h"

#include "knlp/core/error.h"
#include "knlp/core/host.h"
#include "knlp/core/log.h"
#include "knlp/core/text.h"
#include "text.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <limits>

#include <unistd.h>

namespace knlp::train {

namespace {

constexpr double kDiskShare = 2.2;        // checkpoints that must fit: one kept, one being written
constexpr double kLongRun_s = 24 * 3600;  // beyond this a smaller preset is named
constexpr double kShortRun_s = 2 * 3600;  // what a preset must fit in to be named

std::filesystem::path existing_parent(std::filesystem::path path) {
    std::error_code error;
    path = std::filesystem::absolute(path, error);
    while (!std::filesystem::exists(path, error) && path.has_relative_path())
        path = path.parent_path();
    return path;
}

/// Steps of the budgets that do not depend on the clock; the largest number when there are none.
int64_t planned_steps(const config::Train& train, int64_t tokens_per_step) {
    int64_t steps = std::numeric_limits<int64_t>::max();
    if (train.max_iters > 0) steps = train.max_iters;
    if (train.max_tokens > 0)
        steps = std::min(steps, (train.max_tokens + tokens_per_step - 1) / tokens_per_step);
    return steps;
}

std::string why_incomplete(const config::Train& train, int64_t steps, int64_t planned) {
    if (train.max_time_s <= 0)
        return steps >= 2 * train.warmup_steps
                   ? ""
                   : fmt::format(
                         "{} steps are fewer than twice the warm-up of {}; lower GPT2_WARMUP_STEPS "
                         "or raise the budget",
                         steps, train.warmup_steps);
    if (train.max_iters > 0 && 2 * steps < train.max_iters && steps < planned)
        return fmt::format(
            "{} s reach about {} of GPT2_MAX_ITERS={} steps; the schedule follows the clock",
            train.max_time_s, steps, train.max_iters);
    if (static_cast<double>(steps) * train.warmup_fraction < 1.0 && train.warmup_fraction > 0)
        return fmt::format(
            "about {} steps fit, too few for a warm-up of {} of the time; raise GPT2_MAX_TIME",
            steps, train.warmup_fraction);
    return "";
}

}  // namespace

void require_memory(const MemoryEstimate& estimate, bool force) {
    const std::string text = shortage_text(
        estimate,
        estimate.fitting_batch > 0
            ? fmt::format("BATCH_SIZE={} would fit (accumulate instead), or set LOSS_CHUNK",
                          estimate.fitting_batch)
            : "not even BATCH_SIZE=1 fits: take a smaller model or GPT2_BLOCK_SIZE");
    if (text.empty()) return;
    if (!force) fail_code(kRun, "E_MEMORY", "{}; --force tries anyway", text);
    log::warn("{}", text);
}

void require_disk(const std::filesystem::path& directory, int64_t checkpoint_bytes, bool force) {
    const std::filesystem::path parent = existing_parent(directory);
    const int64_t free_bytes = free_disk_bytes(parent.string());
    const auto needed = static_cast<int64_t>(kDiskShare * static_cast<double>(checkpoint_bytes));
    if (free_bytes >= needed) return;
    const std::string text = fmt::format(
        "{}: {} free, 2.2 checkpoints of {} need {}; make room, set OUTPUT_DIR or "
        "SAVE_CHECKPOINT=n",
        parent.string(), bytes_text(free_bytes), bytes_text(checkpoint_bytes), bytes_text(needed));
    if (!force) fail_code(kRun, "E_DISK", "{}; --force tries anyway", text);
    log::warn("{}", text);
}

void require_writable(const std::filesystem::path& directory) {
    // Permissions alone do not tell (root, read-only mounts, /proc), so a directory is made and
    // removed.
    std::string probe = (existing_parent(directory) / ".knlp-probe-XXXXXX").string();
    if (::mkdtemp(probe.data()) == nullptr)
        fail_code(kRun, "E_IO",
                  "{}: cannot be written: {}; give --out or OUTPUT_DIR a writable place",
                  directory.string(), std::strerror(errno));
    ::rmdir(probe.c_str());
}

TimeEstimate estimate_time(const config::Train& train, const TimeInputs& in) {
    TimeEstimate estimate{.step_s = in.step_s, .eval_s = in.eval_s};
    const int64_t planned = planned_steps(train, in.tokens_per_step);
    const double per_step = in.step_s + in.eval_s / static_cast<double>(train.eval_interval);
    estimate.steps = planned;
    if (train.max_time_s > 0) {
        const double left = std::max(0.0, train.max_time_s - in.elapsed_s);
        const double fit = std::floor(left / std::max(per_step, 1e-9));
        estimate.steps =
            std::min(planned, in.steps_done + static_cast<int64_t>(std::min(fit, 1e15)));
    }
    estimate.total_s = static_cast<double>(estimate.steps - in.steps_done) * per_step + in.eval_s;
    if (in.steps_done == 0) estimate.incomplete = why_incomplete(train, estimate.steps, planned);
    const double wanted_s = planned == std::numeric_limits<int64_t>::max()
                                ? 0.0
                                : static_cast<double>(planned) * per_step;
    const bool too_slow =
        wanted_s > kLongRun_s || (train.max_time_s > 0 && !estimate.incomplete.empty());
    if (!too_slow || in.flops_per_s <= 0) return estimate;
    for (const PresetCost& preset : preset_costs()) {
        estimate.nearest_preset = preset.name;  // the last one is the cheapest
        if (preset.flops() / in.flops_per_s <= kShortRun_s) break;
    }
    return estimate;
}

void require_one_step(const config::Train& train, const TimeInputs& in,
                      const TimeEstimate& estimate) {
    if (train.max_time_s <= 0 || in.steps_done > 0 || in.step_s <= train.max_time_s) return;
    fail_code(kRun, "E_TIME",
              "a step of {} tokens takes about {} here and the time budget is {}: not one step "
              "fits; raise "
              "GPT2_MAX_TIME, lower TARGET_EFFECTIVE_BATCH or take defconfig-{}",
              in.tokens_per_step, duration_text(in.step_s), duration_text(train.max_time_s),
              estimate.nearest_preset.empty() ? "gpt2-nano-cpu" : estimate.nearest_preset);
}

double PresetCost::flops() const {
    const auto l = static_cast<double>(n_layer), c = static_cast<double>(d_model);
    const auto v = static_cast<double>(vocab_size), t = static_cast<double>(n_ctx);
    const double a_token = 6 * (v * c + 12 * l * c * c) + 12 * l * c * t;
    return a_token * t * static_cast<double>(effective_batch) * static_cast<double>(max_iters);
}

std::span<const PresetCost> preset_costs() {
    // Time budgets stand as the steps they were set for on their own hardware.
    static constexpr PresetCost kPresets[] = {
        {"gpt2-vanilla-baseline", 12, 768, 50257, 1024, 256, 10000},
        {"gpt2-tiny-baseline", 6, 512, 50257, 1024, 64, 10000},
        {"cpu-linuxdoc-gpt2", 6, 192, 4096, 256, 16, 5000},
        {"gpt2-nano-cpu", 4, 128, 257, 128, 16, 2000},
    };
    return kPresets;
}

}  // namespace knlp::train
