#include "knlp/matrix/planner.h"

#include "axes.h"
#include "baseline.h"
#include "cell_config.h"
#include "expand.h"
#include "fairness.h"
#include "history.h"
#include "rules.h"

#include "knlp/config/build_info.h"
#include "knlp/config/general.h"
#include "knlp/config/matrix.h"
#include "knlp/config/model.h"
#include "knlp/config/schema.h"
#include "knlp/config/train.h"
#include "knlp/core/error.h"
#include "knlp/core/hash.h"
#include "knlp/core/host.h"
#include "knlp/core/log.h"
#include "knlp/track/recorded.h"
#include "knlp/train/outlook.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <optional>

namespace knlp::matrix {
namespace {

namespace fs = std::filesystem;
using config::Symbols;
using train::Outlook;

/// One plan being made.
class Planner {
public:
    Planner(const Symbols& base, const PlanRequest& request)
        : base_(base),
          request_(request),
          matrix_(config::read_matrix(base)),
          general_(config::read_general(base)) {}

    Plan make() {
        describe_experiment();
        find_arms();
        choose_threads();
        look_ahead();
        hold_to_budget();
        add_builds();
        add_cells();
        estimate();
        return std::move(plan_);
    }

private:
    void describe_experiment() {
        const config::BuildInfo& build = config::build_info();
        plan_.name = request_.name;
        plan_.created = utc_now();
        plan_.preset = request_.preset;
        plan_.version = build.version;
        plan_.git_commit = build.git_commit;
        plan_.config_sha256 = sha256_hex(track::recorded_config(base_.dot_config()));
        plan_.alpha = matrix_.alpha;
        plan_.min_effect = matrix_.min_effect;
        plan_.max_retries = matrix_.max_retries;
        plan_.stop_on_failure = matrix_.stop_on_failure;
        plan_.seeds = matrix_.seeds;
        for (const config::MenuAxis& menu : matrix_.menus) plan_.axes.push_back(axis_of(menu));
        for (Axis& axis : parse_axes(matrix_.axes, "axes (MATRIX_AXES)"))
            plan_.axes.push_back(std::move(axis));
        if (!request_.sweep_file.empty())
            for (Axis& axis : read_sweep_file(request_.sweep_file))
                plan_.axes.push_back(std::move(axis));
        require_distinct(plan_.axes);
    }

    Evaluated evaluate(const std::vector<Setting>& settings) {
        Arm arm;
        arm.settings = settings;
        Evaluated out;
        Symbols symbols = base_.with(overrides_of(arm), &out.refused);
        if (!out.refused.empty()) return out;
        for (const Setting& setting : settings)
            if (symbols.origin(setting.name) != config::Origin::kMatrix)
                out.idle.push_back(setting.name);
        out.sha256 = symbols.experiment_hash({});
        out.model = config::read_model(symbols).name;
        out.optimizer = config::read_optimizer(symbols).name;
        symbols_.emplace(out.sha256, std::move(symbols));
        return out;
    }

    void find_arms() {
        Expansion expansion = expand(plan_.axes, [this](const std::vector<Setting>& settings) {
            return evaluate(settings);
        });
        plan_.arms = std::move(expansion.arms);
        plan_.excluded = std::move(expansion.excluded);
        plan_.baseline = plan_.arms.front().id;
        if (!request_.baseline_from.empty()) adopt_baseline();
        if (!matrix_.baseline_arm.empty()) {
            std::vector<std::string> ids;
            for (const Arm& arm : plan_.arms) ids.push_back(arm.id);
            if (std::find(ids.begin(), ids.end(), matrix_.baseline_arm) == ids.end())
                fail_code(kConfig, "E_RANGE", "MATRIX_BASELINE_ARM={} is no arm of this matrix{}",
                          matrix_.baseline_arm, did_you_mean(matrix_.baseline_arm, ids));
            if (baseline_ && plan_.baseline != matrix_.baseline_arm)
                fail(
                    kUsage,
                    "MATRIX_BASELINE_ARM={}, and --baseline-from gives runs of '{}'; leave one out",
                    matrix_.baseline_arm, plan_.baseline);
            plan_.baseline = matrix_.baseline_arm;
        }
        if (request_.pilot_seeds > 0) keep_pilot();
    }

    /// The arm that earlier runs are of becomes the baseline; where there is none it is added.
    void adopt_baseline() {
        baseline_.emplace(request_.baseline_from, general_.output_dir);
        const std::string sha256 = baseline_->symbols().experiment_hash({});
        auto arm = std::find_if(plan_.arms.begin(), plan_.arms.end(),
                                [&](const Arm& one) { return one.config_sha256 == sha256; });
        if (arm == plan_.arms.end()) arm = plan_.arms.insert(plan_.arms.begin(), arm_of_baseline());
        plan_.baseline = arm->id;
    }

    Arm arm_of_baseline() {
        Arm arm;
        arm.settings = baseline_->settings_over(base_);
        const Evaluated evaluated = evaluate(arm.settings);
        arm.config_sha256 = baseline_->symbols().experiment_hash({});
        if (!evaluated.refused.empty())
            fail(kConfig, "--baseline-from: its configuration is none here: {}", evaluated.refused);
        if (evaluated.sha256 != arm.config_sha256)
            fail(kConfig, "--baseline-from: no settings over this configuration make it: {}",
                 fmt::join(symbols_.at(evaluated.sha256).differences(baseline_->symbols()), ", "));
        arm.labels.assign(plan_.axes.size(), std::string(kIdle));
        arm.id = fmt::format("{}_{}_baseline", evaluated.model, evaluated.optimizer);
        return arm;
    }

    /// What was chosen for the runs of the baseline is what its cells have.
    void hold_to_baseline() {
        if (!baseline_) return;
        const size_t own = baseline_index();
        const size_t other = own == 0 && plan_.arms.size() > 1 ? 1 : 0;
        baseline_->require_comparable(outlooks_[other], matrix_.budget, plan_.seeds);
        const BaselineRun& run = baseline_->runs().front();
        outlooks_[own].choices = plan_.arms[own].choices = run.choices;
    }

    /// The baseline and the first other arm, with the first seeds; where there are too few, the
    /// numbers after the largest follow.
    void keep_pilot() {
        const auto other =
            std::find_if(plan_.arms.begin(), plan_.arms.end(),
                         [this](const Arm& arm) { return arm.id != plan_.baseline; });
        if (other == plan_.arms.end())
            fail(kUsage, "a pilot compares two arms, and this plan has one");
        const std::string id = other->id;
        std::erase_if(plan_.arms,
                      [&](const Arm& arm) { return arm.id != plan_.baseline && arm.id != id; });
        uint64_t next = *std::max_element(plan_.seeds.begin(), plan_.seeds.end()) + 1;
        while (std::ssize(plan_.seeds) < request_.pilot_seeds) plan_.seeds.push_back(next++);
        plan_.seeds.resize(static_cast<size_t>(request_.pilot_seeds));
    }

    size_t baseline_index() const {
        const auto at = std::find_if(plan_.arms.begin(), plan_.arms.end(),
                                     [this](const Arm& arm) { return arm.id == plan_.baseline; });
        return static_cast<size_t>(at - plan_.arms.begin());
    }

    /// Cells at once, and the threads that each then has.
    void choose_threads() {
        const int64_t cores = usable_cores();
        threads_ = general_.num_threads;
        if (threads_ == 0)
            threads_ = matrix_.jobs == 0 ? 1 : std::max<int64_t>(1, cores / matrix_.jobs);
        plan_.jobs = matrix_.jobs > 0 ? matrix_.jobs : std::max<int64_t>(1, cores / threads_);
        if (plan_.jobs * threads_ > cores)
            log::warn("{} cells at once with {} threads each on {} usable cores: fewer will run",
                      plan_.jobs, threads_, cores);
    }

    void look_ahead() {
        train::Forecast forecast({.threads = threads_,
                                  .memory_share = 1.0 / static_cast<double>(plan_.jobs),
                                  .look_at_data = !request_.dry_run,
                                  .measure_routes = !request_.dry_run,
                                  .strict = request_.strict});
        for (Arm& arm : plan_.arms) {
            const Outlook outlook = forecast.of(symbols_.at(arm.config_sha256));
            arm.choices = outlook.choices;
            arm.parameters = outlook.parameters;
            arm.flops_per_token = outlook.flops_per_token;
            arm.estimate.memory_bytes = outlook.memory_bytes;
            arm.estimate.memory_source = "formula of the trainer";
            outlooks_.push_back(outlook);
        }
        hold_to_baseline();
        require_same_conditions(plan_.arms, outlooks_);
        plan_.differences = unavoidable_differences(plan_.arms, outlooks_);
        std::vector<const Symbols*> symbols;
        for (const Arm& arm : plan_.arms) symbols.push_back(&symbols_.at(arm.config_sha256));
        for (std::string& line : default_differences(plan_.arms, symbols))
            plan_.differences.push_back(std::move(line));
        const Outlook& any = outlooks_.front();
        if (!any.substitute.empty()) log::warn("SUBSTITUTE DATA: {}", any.substitute);
        plan_.device = any.device;
        plan_.effective_batch = any.effective_batch;
        plan_.windows_sha256 = any.windows_sha256;
        for (const Outlook::File& file : any.data) plan_.data.push_back({file.role, file.sha256});
    }

    void hold_to_budget() {
        const SharedBudget shared =
            share_budget(matrix_.budget, baseline_index(), plan_.arms, outlooks_);
        plan_.budget = shared.budget;
        for (size_t a = 0; a < plan_.arms.size(); ++a) {
            Arm& arm = plan_.arms[a];
            const Symbols& before = symbols_.at(arm.config_sha256);
            std::vector<Setting> changed = arm.settings;
            for (const Setting& setting : shared.settings[a])
                if (before.values().at(setting.name) != setting.value) {
                    std::erase_if(changed,
                                  [&](const Setting& s) { return s.name == setting.name; });
                    changed.push_back(setting);
                }
            if (changed == arm.settings) continue;
            arm.settings = std::move(changed);
            Symbols after = base_.with(overrides_of(arm));
            arm.config_sha256 = after.experiment_hash({});
            symbols_.emplace(arm.config_sha256, std::move(after));
        }
    }

    /// What an arm sets that another binary must have.
    static std::vector<Setting> build_settings(const Arm& arm) {
        std::vector<Setting> out;
        for (const Setting& setting : arm.settings)
            if (config::find_symbol(setting.name)->build &&
                config::built(setting.name) != setting.value)
                out.push_back(setting);
        return out;
    }

    void add_builds() {
        const config::BuildInfo& info = config::build_info();
        Build own{.sha256 = sha256_file(request_.binary),
                  .path = "",
                  .build_config_sha256 = std::string(info.build_config_sha256),
                  .git_commit = std::string(info.git_commit),
                  .git_diff_sha256 = std::string(info.git_diff_sha256),
                  .symbols = {}};
        own.path = kept_path(own.sha256);
        std::map<std::string, std::string> made;  // binary of each set of build symbols
        for (Arm& arm : plan_.arms) {
            // Nothing is built for cells that have run.
            const bool has_run = baseline_ && arm.id == plan_.baseline;
            const std::vector<Setting> wanted =
                has_run ? std::vector<Setting>() : build_settings(arm);
            std::string key;
            for (const Setting& setting : wanted) key += setting.name + "=" + setting.value + "\n";
            if (!made.contains(key)) {
                Build build = wanted.empty() ? own : other_build(arm, wanted);
                made[key] = build.sha256;
                plan_.builds.push_back(std::move(build));
            }
            arm.build = made.at(key);
        }
        if (!baseline_) return;
        for (const BaselineRun& run : baseline_->runs())
            if (run.binary_sha256 != own.sha256) {
                plan_.differences.push_back(
                    fmt::format("binary: {} of revision {} ({}), {} of revision {} (the others)",
                                run.binary_sha256.substr(0, 12), run.git_commit, plan_.baseline,
                                own.sha256.substr(0, 12), own.git_commit));
                break;
            }
    }

    Build other_build(const Arm& arm, const std::vector<Setting>& wanted) {
        Build build;
        if (request_.dry_run)  // nothing is built: only its name is known
            build.sha256 = sha256_hex(arm.id);
        else if (request_.make_build)
            build = request_.make_build(symbols_.at(arm.config_sha256));
        else
            fail(kNotAvailable, "the arm '{}' sets {}={}, which needs another build of knlp",
                 arm.id, wanted[0].name, wanted[0].value);
        build.symbols = wanted;
        return build;
    }

    void add_cells() {
        if (std::ssize(plan_.arms) * std::ssize(plan_.seeds) > kMaxCells)
            fail(kUsage, "{} arms with {} seeds are more than {} cells; plan several matrices",
                 plan_.arms.size(), plan_.seeds.size(), kMaxCells);
        std::map<std::string, std::string> ids;
        for (const uint64_t seed : plan_.seeds)
            for (const Arm& arm : plan_.arms)
                plan_.cells.push_back(
                    {.index = std::ssize(plan_.cells),
                     .id = fmt::format("{}_s{}", arm.id, seed),
                     .arm = arm.id,
                     .seed = seed,
                     .config_sha256 = symbols_.at(arm.config_sha256).experiment_hash(seed),
                     .imported_from = ""});
        for (const Cell& cell : plan_.cells) {
            const auto [other, fresh] = ids.emplace(cell.config_sha256, cell.id);
            if (!fresh)
                fail(kUsage, "the cells {} and {} are duplicates: one experiment with one seed",
                     other->second, cell.id);
        }
    }

    void estimate() {
        const History history(general_.output_dir);
        for (Arm& arm : plan_.arms) {
            const Estimate known = history.estimate(arm);
            arm.estimate.wall_s = known.wall_s;
            arm.estimate.wall_source = known.wall_source;
            if (!known.wall_s && plan_.budget.kind == "time") {
                arm.estimate.wall_s = plan_.budget.amount;
                arm.estimate.wall_source = "the time budget";
            }
        }
        for (Cell& cell : plan_.cells) {
            if (baseline_ && cell.arm == plan_.baseline)
                cell.imported_from = baseline_->of_seed(cell.seed)->place;
            else if (!request_.dry_run)
                cell.imported_from = history.finished(plan_, cell);
        }
    }

    const Symbols& base_;
    const PlanRequest& request_;
    config::Matrix matrix_;
    config::General general_;
    std::optional<Baseline> baseline_;
    Plan plan_;
    std::map<std::string, Symbols> symbols_;  // of arms, by config_sha256
    std::vector<Outlook> outlooks_;           // of arms
    int64_t threads_ = 1;
};

}  // namespace

Plan make_plan(const Symbols& base, const PlanRequest& request) {
    return Planner(base, request).make();
}

}  // namespace knlp::matrix
