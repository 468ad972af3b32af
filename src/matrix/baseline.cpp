#include "baseline.h"

#include "cell_config.h"
#include "history.h"
#include "members.h"

#include "knlp/config/general.h"
#include "knlp/config/matrix.h"
#include "knlp/config/schema.h"
#include "knlp/core/error.h"
#include "knlp/core/parse.h"
#include "knlp/track/ledger.h"
#include "knlp/track/manifest.h"
#include "knlp/track/run_dir.h"

#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <algorithm>

namespace knlp::matrix {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kManifest = "manifest.json";

/// Relative to the output directory, which is how a plan names it.
std::string place_of(const fs::path& run, const fs::path& output_dir) {
    const fs::path place = fs::weakly_canonical(run).lexically_relative(
        fs::weakly_canonical(output_dir.empty() ? fs::path(".") : output_dir));
    if (place.empty() || place.begin()->string() == "..")
        fail(kUsage, "--baseline-from {}: not below {}, where results lie; copy it there",
             run.string(), output_dir.string());
    return place.string();
}

/// The run that a row of the ledger is of, its files as they were.
fs::path run_of_row(int64_t seq, const fs::path& output_dir) {
    const fs::path ledger = output_dir / "ledger.jsonl";
    const std::vector<json> rows = track::read_ledger(ledger);
    if (seq < 1 || seq > std::ssize(rows))
        fail(kUsage, "--baseline-from {}: {} has {} rows", seq, ledger.string(), rows.size());
    const json& row = rows[static_cast<size_t>(seq - 1)];
    if (const auto by = track::invalidated_by(rows, seq))
        fail(kData, "--baseline-from {}: row {} of {} took it back", seq, *by, ledger.string());
    for (const auto& [file, hash] : row["files"].items()) {
        if (fs::path(file).filename() != kManifest) continue;
        const std::vector<json> only = {row};
        if (const auto changed = track::changed_file(only, output_dir))
            fail(kData, "{}: row {}: {}", ledger.string(), seq, changed->what);
        return (output_dir / file).parent_path();
    }
    fail(kUsage, "--baseline-from {}: a row of kind {}; one of a run or a cell is wanted", seq,
         text_at(row, "kind"));
}

std::vector<fs::path> runs_of(const std::string& name, const fs::path& output_dir) {
    if (fs::exists(fs::path(name) / kPlanFile)) {
        const Plan plan = read_plan(name);
        std::vector<fs::path> runs;
        for (const Cell& cell : plan.cells)
            if (const fs::path run = cell_directory(name, cell);
                cell.arm == plan.baseline && is_done(run))
                runs.push_back(run);
        if (runs.empty())
            fail(kData, "--baseline-from {}: no cell of its baseline '{}' is done", name,
                 plan.baseline);
        return runs;
    }
    if (fs::exists(fs::path(name) / kManifest)) return {name};
    if (const auto seq = parse_int(name)) return {run_of_row(*seq, output_dir)};
    fail(kUsage,
         "--baseline-from {}: neither the directory of a run or a matrix nor the number of a row "
         "in {}",
         name, (output_dir / "ledger.jsonl").string());
}

int64_t required(const json& object, const char* name, const fs::path& run) {
    const auto value = whole_at(object, name);
    if (!value || *value < 1)
        fail(kData, "{}: it does not say \"{}\", which its cells would be compared by",
             (run / kManifest).string(), name);
    return *value;
}

BaselineRun read_run(const fs::path& run, const fs::path& output_dir) {
    if (!fs::exists(run / "status.json"))
        fail(kData,
             "{}: no status.json: only a directory that a run has written can be compared with, a "
             "copy of some of its files cannot",
             run.string());
    const json manifest = track::read_manifest(run);
    BaselineRun out{.place = place_of(run, output_dir),
                    .symbols = config::Symbols::load_for_any_build(run / "config"),
                    .result = read_cell(run, "baseline")};
    if (const std::string failure = out.result.failure(); !failure.empty())
        fail(kData, "{}: no finished run: {}", run.string(), failure);
    if (out.symbols.experiment_hash(out.result.seed) != text_at(manifest, "experiment_sha256"))
        fail(kData,
             "{}: its configuration means something else in this version; run the baseline anew",
             run.string());
    const json object = json::object();
    const json batch = manifest.value("batch", object), budgets = manifest.value("budgets", object);
    if (!batch.is_object() || !budgets.is_object())
        fail(kData, "{}: \"batch\" and \"budgets\" are no objects", (run / kManifest).string());
    out.binary_sha256 = text_at(manifest, "binary_sha256");
    out.git_commit = text_at(manifest, "git_commit");
    out.device = device_kind(text_at(manifest, "device"));
    out.effective_batch = required(batch, "effective", run);
    out.n_ctx = required(batch, "n_ctx", run);
    out.max_iters = whole_at(budgets, "max_iters").value_or(0);
    out.max_tokens = whole_at(budgets, "max_tokens").value_or(0);
    out.max_time_s =
        budgets.value("max_time_s", json()).is_number() ? budgets["max_time_s"].get<double>() : 0;
    out.choices = {.threads = required(manifest, "threads", run),
                   .isa = text_at(manifest, "isa"),
                   .gemm = text_at(manifest, "gemm_route"),
                   .bf16_dot_products = flag_at(manifest, "bf16_dot_products"),
                   .micro = required(batch, "micro", run),
                   .accumulation = required(batch, "accumulation", run)};
    return out;
}

/// "train=47c6644587a3 val=…": twelve digits tell hashes apart for people.
std::string brief(const std::string& hashes) {
    std::string out;
    size_t digits = 0;
    for (const char c : hashes) {
        digits = std::isxdigit(static_cast<unsigned char>(c)) ? digits + 1 : 0;
        if (digits <= 12) out += c;
    }
    return out;
}

}  // namespace

Baseline::Baseline(const std::vector<std::string>& names, const fs::path& output_dir)
    : names_(names) {
    for (const std::string& name : names)
        for (const fs::path& run : runs_of(name, output_dir))
            runs_.push_back(read_run(run, output_dir));
    std::sort(runs_.begin(), runs_.end(), [](const BaselineRun& a, const BaselineRun& b) {
        return a.result.seed < b.result.seed;
    });
    for (size_t i = 1; i < runs_.size(); ++i) {
        const BaselineRun &before = runs_[i - 1], &run = runs_[i];
        if (before.result.seed == run.result.seed)
            fail(kUsage, "--baseline-from: {} and {} both have the seed {}; give one of them",
                 before.place, run.place, run.result.seed);
        if (run.symbols.experiment_hash({}) == symbols().experiment_hash({})) continue;
        std::vector<std::string> names_of_symbols = run.symbols.differences(symbols());
        std::erase(names_of_symbols, config::seed_symbol());
        if (names_of_symbols.empty()) names_of_symbols = {"its budget"};
        fail(kUsage, "--baseline-from: {} and {} are runs of two experiments, they differ in {}",
             runs_.front().place, run.place, fmt::join(names_of_symbols, ", "));
    }
}

const BaselineRun* Baseline::of_seed(uint64_t seed) const {
    const auto at = std::find_if(runs_.begin(), runs_.end(), [seed](const BaselineRun& run) {
        return run.result.seed == seed;
    });
    return at == runs_.end() ? nullptr : &*at;
}

std::vector<Setting> Baseline::settings_over(const config::Symbols& base) const {
    std::vector<Setting> settings;
    const auto add = [&](const std::string& name, const std::string& value) {
        const auto there = base.values().find(name);
        const Setting setting{name, value};
        if ((there == base.values().end() || there->second != value) &&
            std::find(settings.begin(), settings.end(), setting) == settings.end())
            settings.push_back(setting);
    };
    const auto& values = symbols().values();
    // A menu of several becomes the one that these runs had.
    for (const config::MenuAxis& menu : config::read_matrix(base).menus)
        for (const config::MenuAxis::Value& one : menu.values)
            for (const auto& [name, value] : one.settings)
                if (const auto its = values.find(name); its != values.end() && its->second == value)
                    add(name, value);
    for (const auto& [name, value] : values) {
        const config::SymbolInfo* symbol = config::find_symbol(name);
        if (symbol->prompt.empty() || name == config::seed_symbol() ||
            (symbol->resume_free && !symbol->budget))
            continue;
        const bool off = symbol->type == config::SymbolType::kBool && value == "n";
        if (off && (!symbol->choice.empty() || !base.has(name))) continue;
        add(name, value);
    }
    return settings;
}

void Baseline::refuse(const std::vector<std::string>& differences) const {
    fail_code(kConfig, "E_UNFAIR", "--baseline-from {}: no baseline for this plan: {}",
              fmt::join(names_, " "), fmt::join(differences, "; "));
}

void Baseline::require_comparable(const train::Outlook& here, const std::string& kind,
                                  const std::vector<uint64_t>& seeds) const {
    std::vector<std::string> differences;
    const auto compare = [&](const char* what, const std::string& its, const std::string& ours) {
        const std::string line = fmt::format("{} {} there, {} here", what, its, ours);
        if (its != ours &&
            std::find(differences.begin(), differences.end(), line) == differences.end())
            differences.push_back(line);
    };
    std::vector<PlannedFile> files;
    for (const train::Outlook::File& file : here.data) files.push_back({file.role, file.sha256});
    for (const BaselineRun& run : runs_) {
        if (std::find(seeds.begin(), seeds.end(), run.result.seed) == seeds.end()) continue;
        if (!files.empty()) {
            compare("data", brief(run.result.data_sha256), brief(data_sha256(files)));
            compare("evaluation windows", brief(run.result.windows_sha256),
                    brief(here.windows_sha256));
        }
        compare("effective batch", std::to_string(run.effective_batch),
                std::to_string(here.effective_batch));
        compare("length of a sequence", std::to_string(run.n_ctx), std::to_string(here.n_ctx));
        compare("device", run.device, device_kind(here.device));
        if (kind == "iterations")
            compare("iterations", std::to_string(run.max_iters), std::to_string(here.max_iters));
        if (kind == "tokens")
            compare("tokens", std::to_string(run.max_tokens), std::to_string(here.max_tokens));
        if (kind == "time")
            compare("seconds", fmt::format("{}", run.max_time_s),
                    fmt::format("{}", here.max_time_s));
    }
    std::vector<uint64_t> missing;
    std::copy_if(seeds.begin(), seeds.end(), std::back_inserter(missing),
                 [this](uint64_t seed) { return of_seed(seed) == nullptr; });
    if (!missing.empty())
        differences.push_back(fmt::format("no run with seed {}", fmt::join(missing, ", ")));
    if (!differences.empty()) refuse(differences);
}

}  // namespace knlp::matrix
