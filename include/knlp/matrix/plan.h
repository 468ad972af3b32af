#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "knlp/train/choices.h"

namespace knlp::matrix {

/// A run symbol and the value it gets, as in .config without the quotes.
struct Setting {
    std::string name, value;
    bool operator==(const Setting&) const = default;
};

/// One value of an axis: what it is called, and what it sets in the configuration.
struct AxisValue {
    std::string label;
    std::vector<Setting> settings;
};
struct Axis {
    std::string name;  // "optimizer", or the symbol
    std::vector<AxisValue> values;
};

/// A combination of axis values that is no arm, with the name of the rule that says so.
struct Excluded {
    std::vector<std::string> labels;  // of each axis
    std::string rule, why;
};

/// A binary that runs cells, kept in the matrix directory.
struct Build {
    std::string sha256;                       // of the file
    std::string path;                         // relative to the matrix directory
    std::string build_config_sha256;          // of the build symbols in it
    std::string git_commit, git_diff_sha256;  // the latter "" for a clean tree
    std::vector<Setting> symbols;             // build symbols that its arms set
};

/// What a cell of an arm is expected to take. A figure without a source is not known.
struct Estimate {
    std::optional<double> wall_s;
    std::optional<int64_t> memory_bytes;
    std::string wall_source, memory_source;
};

/// A configuration without its seed.
struct Arm {
    std::string id;
    std::vector<std::string> labels;  // of each axis; "-" where the axis does nothing in this arm
    std::vector<Setting> settings;    // over the base configuration
    std::string build;                // Build::sha256
    std::string config_sha256;        // of the experiment, without the seed
    train::Choices choices;           // the same for all its cells
    std::optional<int64_t> parameters;
    std::optional<double> flops_per_token;
    Estimate estimate;
};

/// One arm with one seed: one run.
struct Cell {
    int64_t index = 0;
    std::string id, arm;  // "<arm>_s<seed>"
    uint64_t seed = 0;
    std::string config_sha256;  // of the experiment, with the seed
    std::string imported_from;  // run directory of a finished cell that was taken over, "" if none
};

/// When the cells of all arms stop. The unit of `amount` is iterations, tokens, FLOPs or seconds.
struct Budget {
    std::string kind;  // iterations tokens flops time
    double amount = 0;
};

/// A data file that every cell must find as it is.
struct PlannedFile {
    std::string role, sha256;
};

/// Seeds that were added after cells had run.
struct Extension {
    std::vector<uint64_t> seeds;
    std::string created;
    int64_t done_before = 0;  // cells that had finished when it was made
    std::string sha256;
};

/// What is to be run and how it will be judged, fixed before the first cell. Of one revision,
/// configuration and machine the same but for `created`.
struct Plan {
    std::string name, created;        // name of the directory; UTC
    std::string preset;               // defconfig, "" if not known
    std::string version, git_commit;  // of the binary that planned
    std::string config_sha256;        // of config.txt, the base configuration
    std::vector<Axis> axes;
    std::vector<uint64_t> seeds;
    std::vector<Excluded> excluded;
    std::vector<Build> builds;
    std::vector<Arm> arms;
    std::vector<Cell> cells;  // by index: seed by seed, in each all arms
    std::string baseline;     // id of an arm
    std::string metric = "val_loss";
    double alpha = 0.05, min_effect = 0;
    Budget budget;
    std::vector<PlannedFile> data;
    std::string windows_sha256;  // of the evaluation windows
    std::string device;
    int64_t effective_batch = 0;           // sequences
    std::vector<std::string> differences;  // between arms that the report must name
    int64_t jobs = 1;                      // cells at once; each takes `choices.threads` cores
    int64_t max_retries = 1;
    bool stop_on_failure = false;
    std::vector<Extension> extensions;  // from the files beside plan.json
    std::string sha256;                 // of the canonical JSON without this member and extensions

    const Arm& arm(const std::string& id) const;  // KNLP_CHECK that it exists
    const Build& build(const std::string& sha256) const;
};

/// The file's content; sets plan.sha256.
std::string plan_text(Plan& plan);
/// Reads <directory>/plan.json and extension-N.json. Error{kData} naming file and member when one
/// is absent, damaged, out of range, contradicts another or does not match its hash (edited).
Plan read_plan(const std::filesystem::path& directory);

/// An extension of `plan` by these cells, whose indices follow those of the plan; sets
/// extension.sha256. It goes to next_extension_file().
std::string extension_text(const Plan& plan, Extension& extension, std::span<const Cell> cells);
std::filesystem::path next_extension_file(const std::filesystem::path& directory, const Plan& plan);

constexpr int64_t kMaxCells = 100'000;

/// Files of a matrix directory.
inline constexpr const char* kPlanFile = "plan.json";
inline constexpr const char* kBaseConfigFile = "config.txt";
std::string extension_file(size_t n);  // "extension-1.json" for the first
std::filesystem::path cell_directory(const std::filesystem::path& matrix, const Cell& cell);

}  // namespace knlp::matrix
