// plan.json and extension-N.json: written once, checked in every part when read.

#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "knlp/core/hash.h"
#include "knlp/core/json.h"
#include "knlp/matrix/plan.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <set>

namespace knlp::matrix {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr int64_t kSchema = 1;
constexpr int64_t kMaxSeed = INT32_MAX;

json settings_json(const std::vector<Setting>& settings) {
    json out = json::array();
    for (const Setting& s : settings) out.push_back({s.name, s.value});
    return out;
}

template <class T>
json or_null(const std::optional<T>& value) {
    return value ? json(*value) : json();
}

json axes_json(const Plan& plan) {
    json out = json::array();
    for (const Axis& axis : plan.axes) {
        json values = json::array();
        for (const AxisValue& value : axis.values)
            values.push_back({{"label", value.label}, {"settings", settings_json(value.settings)}});
        out.push_back({{"name", axis.name}, {"values", std::move(values)}});
    }
    return out;
}

json choices_json(const train::Choices& c) {
    return {{"threads", c.threads},
            {"isa", c.isa},
            {"bf16_dot_products", or_null(c.bf16_dot_products)},
            {"gemm", c.gemm},
            {"micro", c.micro},
            {"accumulation", c.accumulation}};
}

json arms_json(const Plan& plan) {
    json out = json::array();
    for (const Arm& arm : plan.arms)
        out.push_back({{"id", arm.id},
                       {"labels", arm.labels},
                       {"settings", settings_json(arm.settings)},
                       {"build", arm.build},
                       {"config_sha256", arm.config_sha256},
                       {"choices", choices_json(arm.choices)},
                       {"parameters", or_null(arm.parameters)},
                       {"flops_per_token", or_null(arm.flops_per_token)},
                       {"estimate",
                        {{"wall_s", or_null(arm.estimate.wall_s)},
                         {"wall_source", arm.estimate.wall_source},
                         {"memory_bytes", or_null(arm.estimate.memory_bytes)},
                         {"memory_source", arm.estimate.memory_source}}}});
    return out;
}

json builds_json(const Plan& plan) {
    json out = json::array();
    for (const Build& build : plan.builds)
        out.push_back({{"sha256", build.sha256},
                       {"path", build.path},
                       {"build_config_sha256", build.build_config_sha256},
                       {"git_commit", build.git_commit},
                       {"git_diff_sha256", build.git_diff_sha256},
                       {"symbols", settings_json(build.symbols)}});
    return out;
}

json cells_json(const Plan& plan) {
    json out = json::array();
    for (const Cell& cell : plan.cells)
        out.push_back({{"index", cell.index},
                       {"id", cell.id},
                       {"arm", cell.arm},
                       {"seed", cell.seed},
                       {"config_sha256", cell.config_sha256},
                       {"imported_from", cell.imported_from}});
    return out;
}

json plan_json(const Plan& plan) {
    json excluded = json::array(), data = json::array();
    for (const Excluded& e : plan.excluded)
        excluded.push_back({{"labels", e.labels}, {"rule", e.rule}, {"why", e.why}});
    for (const PlannedFile& file : plan.data)
        data.push_back({{"role", file.role}, {"sha256", file.sha256}});
    return {{"schema", kSchema},
            {"name", plan.name},
            {"created", plan.created},
            {"preset", plan.preset},
            {"version", plan.version},
            {"git_commit", plan.git_commit},
            {"config_sha256", plan.config_sha256},
            {"axes", axes_json(plan)},
            {"seeds", plan.seeds},
            {"excluded", std::move(excluded)},
            {"builds", builds_json(plan)},
            {"arms", arms_json(plan)},
            {"cells", cells_json(plan)},
            {"baseline", plan.baseline},
            {"metric", plan.metric},
            {"alpha", plan.alpha},
            {"min_effect", plan.min_effect},
            {"budget", {{"kind", plan.budget.kind}, {"amount", plan.budget.amount}}},
            {"data", std::move(data)},
            {"windows_sha256", plan.windows_sha256},
            {"device", plan.device},
            {"effective_batch", plan.effective_batch},
            {"differences", plan.differences},
            {"jobs", plan.jobs},
            {"max_retries", plan.max_retries},
            {"stop_on_failure", plan.stop_on_failure}};
}

/// A value of a JSON file and the way to it, for messages.
class Member {
public:
    Member(const json& value, std::string where) : value_(value), where_(std::move(where)) {}

    Member at(const char* name) const {
        if (!value_.is_object() || !value_.contains(name)) bad(fmt::format("lacks \"{}\"", name));
        return {value_[name], where_ + "/" + name};
    }
    bool has(const char* name) const { return value_.is_object() && value_.contains(name); }
    std::vector<Member> items() const {
        if (!value_.is_array()) bad("a list is wanted");
        if (std::ssize(value_) > kMaxCells) bad(fmt::format("more than {} entries", kMaxCells));
        std::vector<Member> out;
        for (size_t i = 0; i < value_.size(); ++i)
            out.emplace_back(value_[i], fmt::format("{}/{}", where_, i));
        return out;
    }
    std::string text() const {
        if (!value_.is_string()) bad("a text is wanted");
        return value_.get<std::string>();
    }
    /// A text that is part of a path: no separators, no leading dot.
    std::string name() const {
        const std::string out = text();
        if (out.empty() || out.size() > 200 || out.front() == '.' ||
            out.find('/') != std::string::npos || one_line(out) != out)
            bad(fmt::format("\"{}\" is no name of a directory", out));
        return out;
    }
    std::string sha256() const {
        const std::string out = text();
        if (out.size() != 64 || out.find_first_not_of("0123456789abcdef") != std::string::npos)
            bad("a SHA-256 is wanted, 64 hexadecimal digits");
        return out;
    }
    int64_t whole(int64_t low, int64_t high) const {
        if (!value_.is_number_integer() || value_ < low || value_ > high)
            bad(fmt::format("a whole number from {} to {} is wanted", low, high));
        return value_.get<int64_t>();
    }
    double real() const {
        if (!value_.is_number()) bad("a number is wanted");
        return value_.get<double>();
    }
    bool boolean() const {
        if (!value_.is_boolean()) bad("true or false is wanted");
        return value_.get<bool>();
    }
    bool null() const { return value_.is_null(); }
    [[noreturn]] void bad(const std::string& why) const {
        fail(kData, "{}: {}; a plan is never edited: make another with `knlp matrix plan`", where_,
             why);
    }

private:
    const json& value_;
    std::string where_;
};

std::vector<Setting> read_settings(const Member& list) {
    std::vector<Setting> out;
    for (const Member& item : list.items()) {
        const std::vector<Member> pair = item.items();
        if (pair.size() != 2) item.bad("a name and a value are wanted");
        out.push_back({pair[0].text(), pair[1].text()});
    }
    return out;
}

std::vector<std::string> read_texts(const Member& list) {
    std::vector<std::string> out;
    for (const Member& item : list.items()) out.push_back(item.text());
    return out;
}

std::vector<uint64_t> read_seeds(const Member& list) {
    std::vector<uint64_t> out;
    for (const Member& item : list.items())
        out.push_back(static_cast<uint64_t>(item.whole(0, kMaxSeed)));
    if (std::set(out.begin(), out.end()).size() != out.size()) list.bad("a seed is there twice");
    return out;
}

Axis read_axis(const Member& from) {
    Axis axis{.name = from.at("name").text(), .values = {}};
    for (const Member& value : from.at("values").items())
        axis.values.push_back({value.at("label").text(), read_settings(value.at("settings"))});
    return axis;
}

Build read_build(const Member& from) {
    Build build{.sha256 = from.at("sha256").sha256(),
                .path = from.at("path").text(),
                .build_config_sha256 = from.at("build_config_sha256").text(),
                .git_commit = from.at("git_commit").text(),
                .git_diff_sha256 = from.at("git_diff_sha256").text(),
                .symbols = read_settings(from.at("symbols"))};
    const fs::path path(build.path);
    if (path.empty() || path.is_absolute() || build.path.find("..") != std::string::npos)
        from.at("path").bad("a path inside the matrix directory is wanted");
    return build;
}

train::Choices read_choices(const Member& from) {
    train::Choices c = {.threads = from.at("threads").whole(1, 1024),
                        .isa = from.at("isa").text(),
                        .gemm = from.at("gemm").text(),
                        .micro = from.at("micro").whole(1, int64_t{1} << 40),
                        .accumulation = from.at("accumulation").whole(1, int64_t{1} << 40)};
    // Plans of before have none.
    if (from.has("bf16_dot_products") && !from.at("bf16_dot_products").null())
        c.bf16_dot_products = from.at("bf16_dot_products").boolean();
    return c;
}

Arm read_arm(const Member& from, size_t axes) {
    Arm arm{.id = from.at("id").name(),
            .labels = read_texts(from.at("labels")),
            .settings = read_settings(from.at("settings")),
            .build = from.at("build").sha256(),
            .config_sha256 = from.at("config_sha256").sha256(),
            .choices = read_choices(from.at("choices")),
            .parameters = {},
            .flops_per_token = {},
            .estimate = {}};
    if (arm.labels.size() != axes) from.at("labels").bad("one label of each axis is wanted");
    if (const Member n = from.at("parameters"); !n.null()) arm.parameters = n.whole(0, INT64_MAX);
    if (const Member n = from.at("flops_per_token"); !n.null()) arm.flops_per_token = n.real();
    const Member estimate = from.at("estimate");
    if (const Member n = estimate.at("wall_s"); !n.null()) arm.estimate.wall_s = n.real();
    if (const Member n = estimate.at("memory_bytes"); !n.null())
        arm.estimate.memory_bytes = n.whole(0, INT64_MAX);
    arm.estimate.wall_source = estimate.at("wall_source").text();
    arm.estimate.memory_source = estimate.at("memory_source").text();
    return arm;
}

Cell read_cell_entry(const Member& from, int64_t index) {
    if (from.at("index").whole(0, kMaxCells) != index)
        from.at("index").bad(fmt::format("{} is wanted: cells come in order", index));
    return {.index = index,
            .id = from.at("id").name(),
            .arm = from.at("arm").name(),
            .seed = static_cast<uint64_t>(from.at("seed").whole(0, kMaxSeed)),
            .config_sha256 = from.at("config_sha256").sha256(),
            .imported_from = from.at("imported_from").text()};
}

void read_cells(const Member& list, std::vector<Cell>& cells) {
    for (const Member& item : list.items())
        cells.push_back(read_cell_entry(item, std::ssize(cells)));
}

Budget read_budget(const Member& from) {
    Budget budget{.kind = from.at("kind").text(), .amount = from.at("amount").real()};
    if (budget.kind != "iterations" && budget.kind != "tokens" && budget.kind != "flops" &&
        budget.kind != "time")
        from.at("kind").bad("iterations, tokens, flops or time is wanted");
    if (!(budget.amount > 0 && std::isfinite(budget.amount)))
        from.at("amount").bad("a number above 0 is wanted");
    return budget;
}

Plan read_members(const Member& from) {
    if (from.at("schema").whole(0, INT32_MAX) != kSchema)
        from.at("schema").bad(fmt::format("this binary reads schema {}", kSchema));
    Plan plan;
    plan.name = from.at("name").name();
    plan.created = from.at("created").text();
    plan.preset = from.at("preset").text();
    plan.version = from.at("version").text();
    plan.git_commit = from.at("git_commit").text();
    plan.config_sha256 = from.at("config_sha256").sha256();
    for (const Member& axis : from.at("axes").items()) plan.axes.push_back(read_axis(axis));
    plan.seeds = read_seeds(from.at("seeds"));
    for (const Member& item : from.at("excluded").items())
        plan.excluded.push_back(
            {read_texts(item.at("labels")), item.at("rule").text(), item.at("why").text()});
    for (const Member& build : from.at("builds").items()) plan.builds.push_back(read_build(build));
    for (const Member& arm : from.at("arms").items())
        plan.arms.push_back(read_arm(arm, plan.axes.size()));
    read_cells(from.at("cells"), plan.cells);
    plan.baseline = from.at("baseline").name();
    plan.metric = from.at("metric").text();
    plan.alpha = from.at("alpha").real();
    plan.min_effect = from.at("min_effect").real();
    plan.budget = read_budget(from.at("budget"));
    for (const Member& file : from.at("data").items())
        plan.data.push_back({file.at("role").text(), file.at("sha256").sha256()});
    plan.windows_sha256 = from.at("windows_sha256").text();
    plan.device = from.at("device").text();
    plan.effective_batch = from.at("effective_batch").whole(1, int64_t{1} << 40);
    plan.differences = read_texts(from.at("differences"));
    plan.jobs = from.at("jobs").whole(0, 4096);
    plan.max_retries = from.at("max_retries").whole(0, 100);
    plan.stop_on_failure = from.at("stop_on_failure").boolean();
    return plan;
}

/// Takes the hash out of `object` and compares it with the rest.
std::string checked_hash(json& object, const std::string& where) {
    const std::string said = Member(object, where).at("sha256").sha256();
    object.erase("sha256");
    const std::string is = sha256_hex(canonical_json(object));
    if (said != is)
        fail(kData,
             "{}: edited after it was made: its content has SHA-256 {}, it says {}; make another "
             "plan with `knlp matrix plan`",
             where, is, said);
    return said;
}

/// What refers to something must find it; nothing is there twice.
void check_references(const Plan& plan, const std::string& where) {
    const auto bad = [&where](const std::string& what) {
        fail(kData, "{}: {}; make another plan with `knlp matrix plan`", where, what);
    };
    std::set<std::string> builds, arms, cells;
    for (const Build& build : plan.builds) builds.insert(build.sha256);
    for (const Arm& arm : plan.arms) {
        if (!arms.insert(arm.id).second) bad(fmt::format("arm '{}' is there twice", arm.id));
        if (!builds.contains(arm.build)) bad(fmt::format("arm '{}' has no binary", arm.id));
    }
    if (!arms.contains(plan.baseline))
        bad(fmt::format("the baseline '{}' is no arm", plan.baseline));
    for (const Cell& cell : plan.cells) {
        if (!cells.insert(cell.id).second) bad(fmt::format("cell '{}' is there twice", cell.id));
        if (!arms.contains(cell.arm))
            bad(fmt::format("cell '{}' is of the arm '{}', which there is not", cell.id, cell.arm));
        if (std::find(plan.seeds.begin(), plan.seeds.end(), cell.seed) == plan.seeds.end())
            bad(fmt::format("cell '{}' has the seed {}, which is not planned", cell.id, cell.seed));
    }
    if (plan.cells.empty()) bad("there is no cell in it");
}

void read_extension(const fs::path& file, Plan& plan) {
    json object = read_json(file);
    const std::string where = file.string();
    const std::string hash = checked_hash(object, where);
    const Member from(object, where);
    const std::string before =
        plan.extensions.empty() ? plan.sha256 : plan.extensions.back().sha256;
    if (from.at("extends").sha256() != before)
        from.at("extends").bad("it extends another plan than the one beside it");
    Extension extension{.seeds = read_seeds(from.at("seeds")),
                        .created = from.at("created").text(),
                        .done_before = from.at("done_before").whole(0, kMaxCells),
                        .sha256 = hash};
    plan.seeds.insert(plan.seeds.end(), extension.seeds.begin(), extension.seeds.end());
    read_cells(from.at("cells"), plan.cells);
    plan.extensions.push_back(std::move(extension));
}

}  // namespace

const Arm& Plan::arm(const std::string& id) const {
    const auto found = std::find_if(arms.begin(), arms.end(),
                                    [&](const Arm& candidate) { return candidate.id == id; });
    KNLP_CHECK(found != arms.end());
    return *found;
}

const Build& Plan::build(const std::string& binary) const {
    const auto found = std::find_if(builds.begin(), builds.end(),
                                    [&](const Build& b) { return b.sha256 == binary; });
    KNLP_CHECK(found != builds.end());
    return *found;
}

std::string plan_text(Plan& plan) {
    json object = plan_json(plan);
    plan.sha256 = sha256_hex(canonical_json(object));
    object["sha256"] = plan.sha256;
    return pretty_json(object);
}

std::string extension_text(const Plan& plan, Extension& extension, std::span<const Cell> cells) {
    Plan added;
    added.cells.assign(cells.begin(), cells.end());
    json object = {
        {"extends", plan.extensions.empty() ? plan.sha256 : plan.extensions.back().sha256},
        {"seeds", extension.seeds},
        {"created", extension.created},
        {"done_before", extension.done_before},
        {"cells", cells_json(added)}};
    extension.sha256 = sha256_hex(canonical_json(object));
    object["sha256"] = extension.sha256;
    return pretty_json(object);
}

std::string extension_file(size_t n) {
    return fmt::format("extension-{}.json", n);
}

fs::path next_extension_file(const fs::path& directory, const Plan& plan) {
    return directory / extension_file(plan.extensions.size() + 1);
}

Plan read_plan(const fs::path& directory) {
    const fs::path file = directory / kPlanFile;
    if (!fs::exists(file))
        fail(kData, "{}: no matrix directory, it has no {}; `knlp matrix plan` makes one",
             directory.string(), kPlanFile);
    json object = read_json(file);
    const std::string hash = checked_hash(object, file.string());
    Plan plan = read_members({object, file.string()});
    plan.sha256 = hash;
    for (size_t n = 1; fs::exists(directory / extension_file(n)); ++n)
        read_extension(directory / extension_file(n), plan);
    check_references(plan, file.string());
    return plan;
}

fs::path cell_directory(const fs::path& matrix, const Cell& cell) {
    return matrix / "cells" / cell.id;
}

}  // namespace knlp::matrix
