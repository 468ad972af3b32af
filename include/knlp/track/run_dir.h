#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace knlp::track {

/// A run directory: config, config.resolved.json, manifest.json, status.json, metrics.jsonl,
/// sys_stats.jsonl, checkpoints/, samples.txt, output.log, summary.json, report.html.
/// docs/architecture.md lists each file's schema.
class RunDir {
public:
    /// Creates results/runs/<utc stamp>-<name> exclusively (or `out`, which must not exist or be
    /// empty).
    static RunDir create(const std::filesystem::path& output_dir, const std::string& name,
                         const std::filesystem::path& out = {});
    /// An existing one. Error{kData} when it is not a run directory.
    static RunDir open(const std::filesystem::path& path);

    const std::filesystem::path& path() const { return path_; }
    std::string id() const { return path_.filename().string(); }
    std::filesystem::path file(const std::string& name) const { return path_ / name; }

    /// Error{kLocked} (status 6) when another process works on it. Held until the RunDir is
    /// destroyed. Remembers which directory it is: see require_ours().
    void lock();
    /// What require_ours() asks as well, of a run that is locked: it throws Error{kLocked} when the
    /// run is no longer this process's.
    void also_require(std::function<void()> check);
    /// Error{kLocked} when the path has become another directory: this attempt was taken for dead,
    /// its directory was moved away and another went on. Asked between making a temporary file in
    /// the run and renaming it, it leaves no gap: after a move the rename finds no such file.
    /// Nothing is asked of a run that is not locked.
    void require_ours() const;
    /// A file of the run, whole or not at all, and only while the run is ours.
    void write(const std::string& name, std::string_view text) const;

private:
    struct Hold;
    explicit RunDir(std::filesystem::path path);
    std::filesystem::path path_;
    std::shared_ptr<Hold> hold_;
};

/// status.json: pending running done failed preempted, with pid, host, boot_id, attempt, started,
/// heartbeat, exit_code, signal, reason and, of a failure, the code of its error (E_DIVERGED, …).
void write_status(const RunDir& run, const std::string& state, int exit_code = 0, int signal = 0,
                  const std::string& reason = "", const std::string& code = "");
nlohmann::json read_status(const RunDir& run);

/// Appends one event to metrics.jsonl: keys sorted, "event" and "t" (UTC) added. One line a call.
class MetricsLog {
public:
    explicit MetricsLog(const RunDir& run);
    ~MetricsLog();
    void append(const std::string& event, nlohmann::json fields);
    int64_t bytes() const;  // current size, for checkpoints
    void sync() const;      // fsync: what was appended outlives a power cut. From any thread
    /// Truncates to `bytes` (resume): by rewriting to a temporary file and renaming.
    static void truncate(const RunDir& run, int64_t bytes);

private:
    struct State;
    std::unique_ptr<State> state_;
};

/// Keys of metrics.jsonl whose values depend on the clock or the machine: "t", "tokens_per_s",
/// "mfu", "ms", … Everything else is equal for equal seeds and across a resume.
const std::vector<std::string>& time_fields();

/// All events of a run, in order; a damaged last line (killed while writing) is dropped.
std::vector<nlohmann::json> read_metrics(const std::filesystem::path& run_directory);

/// Tokens per second of training: the median of what the "train" events say; nullopt without any.
/// The one definition for summary, index and report.
std::optional<double> logged_tokens_per_s(const std::vector<nlohmann::json>& events);

/// How far the newest checkpoint of a run got, as its state.json says; zeros when there is none
/// that can be read.
struct Saved {
    int64_t step = 0, tokens = 0;
};
Saved last_saved(const std::filesystem::path& run_directory);

/// Newest run directory below output_dir with one of these states ("" = any), or empty path.
std::filesystem::path newest_run(const std::filesystem::path& output_dir,
                                 const std::vector<std::string>& states = {});

}  // namespace knlp::track
