#include "knlp/core/error.h"
#include "knlp/core/host.h"
#include "knlp/core/json.h"
#include "knlp/core/utc.h"
#include "knlp/track/recorded.h"
#include "knlp/track/run_dir.h"

#include <nlohmann/json.hpp>

#include <unistd.h>

#include <cerrno>
#include <csignal>

namespace knlp::track {

using nlohmann::json;

namespace {

// Twenty heartbeats of a run: clocks of two machines may differ by some of them.
constexpr double kSilence_s = 600;

json or_null(const std::string& text) {
    return text.empty() ? json(nullptr) : json(text);
}

/// The whole number at `name`, 0 when it is absent or something else: a damaged file stops no run.
int64_t whole_at(const json& object, const char* name) {
    const auto found = object.find(name);
    return found != object.end() && found->is_number_integer() ? found->get<int64_t>() : 0;
}

}  // namespace

void write_status(const RunDir& run, const std::string& state, int exit_code, int signal,
                  const std::string& reason, const std::string& code) {
    const std::string now = utc_now(), process = process_key();
    json before;
    try {
        before = read_status(run);
    } catch (const Error&) {
        before = json::object();  // none yet, or damaged by a crash of the machine
    }
    // Another process means another attempt at the same run.
    const bool same = before.contains("process") && before["process"] == process;
    const int64_t attempt = whole_at(before, "attempt") + (same ? 0 : 1);
    const bool ended = state != "running" && state != "pending";
    const json status = {
        {"state", state},
        {"process", process},
        // Whether it lives is asked while it runs; afterwards they are of no use to anybody.
        {"pid", ended ? json() : json(getpid())},
        {"host", ended ? json() : or_null(host().hostname)},
        {"boot_id", ended ? json() : or_null(host().boot_id)},
        {"attempt", attempt},
        {"started", before.contains("started") && before["started"].is_string() ? before["started"]
                                                                                : json(now)},
        {"heartbeat", now},
        {"exit_code", ended ? json(exit_code) : json(nullptr)},
        {"signal", signal != 0 ? json(signal) : json(nullptr)},
        {"reason", or_null(recorded_command(reason))},
        {"code", or_null(code)}};
    run.write("status.json", pretty_json(status));
}

json read_status(const RunDir& run) {
    json status = read_json(run.file("status.json"), 1 << 20);
    if (!status.is_object() || !status.contains("state") || !status["state"].is_string())
        fail(kData, "{}: an object with \"state\" is wanted", run.file("status.json").string());
    if (status["state"] != "running" && status["state"] != "pending") return status;
    // A process that was killed could not say so: it is dead when its pid is gone or belongs to
    // another boot. One of another machine cannot be asked, but it renews its heartbeat.
    const bool here = status.contains("boot_id") && status["boot_id"] == host().boot_id;
    const int64_t pid = whole_at(status, "pid");
    const bool other_host =
        status.contains("host") && status["host"].is_string() && status["host"] != host().hostname;
    const bool alive = here && pid > 0 && (kill(static_cast<pid_t>(pid), 0) == 0 || errno == EPERM);
    const auto beat = status.find("heartbeat");
    const bool silent = beat != status.end() && beat->is_string() &&
                        beat->get<std::string>() < utc_before(kSilence_s);
    if (other_host ? silent : !alive) {
        status["state"] = "failed";
        status["reason"] =
            other_host ? fmt::format("no sign of life on {} since {}",
                                     status["host"].get<std::string>(), beat->get<std::string>())
                       : "the process ended without a word (killed, or the machine stopped)";
    }
    return status;
}

}  // namespace knlp::track
