#include "knlp/config/slurm.h"

#include "knlp/config/symbols.h"
#include "knlp/core/error.h"
#include "knlp/core/parse.h"

#include <algorithm>
#include <vector>

namespace knlp::config {
namespace {

constexpr uint64_t kMaxPart = 1'000'000;

/// The numbers between colons; nothing where a part is no number.
std::optional<std::vector<int64_t>> parts_of(std::string_view text) {
    std::vector<int64_t> parts;
    for (;;) {
        const size_t end = std::min(text.find(':'), text.size());
        const std::optional<uint64_t> part = parse_unsigned(text.substr(0, end));
        if (!part || *part > kMaxPart) return std::nullopt;
        parts.push_back(static_cast<int64_t>(*part));
        if (end == text.size()) return parts;
        text.remove_prefix(end + 1);
    }
}

bool is_memory(std::string_view text) {
    if (text.empty()) return true;
    if (std::string_view("KMGT").find(text.back()) != std::string_view::npos) text.remove_suffix(1);
    return parse_unsigned(text).has_value();
}

/// A value that goes into a line of a script. Quoted there, so only what ends the line or the
/// quotes is refused.
std::string word(const Symbols& symbols, const char* name) {
    std::string value = symbols.text(name);
    if (std::any_of(value.begin(), value.end(),
                    [](unsigned char c) { return c < ' ' || c == 127 || c == '"'; }))
        fail_code(kConfig, "E_TYPE",
                  "{}=\"{}\": quotes and control characters cannot stand in an option of sbatch",
                  name, value);
    return value;
}

}  // namespace

std::optional<int64_t> slurm_seconds(std::string_view text) {
    const size_t dash = text.find('-');
    int64_t days = 0;
    if (dash != std::string_view::npos) {
        const std::optional<uint64_t> number = parse_unsigned(text.substr(0, dash));
        if (!number || *number > kMaxPart) return std::nullopt;
        days = static_cast<int64_t>(*number);
        text.remove_prefix(dash + 1);
    }
    const std::optional<std::vector<int64_t>> parts = parts_of(text);
    if (!parts || parts->size() > 3) return std::nullopt;
    // After days the first part is hours; without them one part or two begin with minutes.
    const bool hours_first = dash != std::string_view::npos || parts->size() == 3;
    int64_t unit = hours_first ? 3600 : 60, seconds = days * 86400;
    for (const int64_t part : *parts) {
        seconds += part * unit;
        unit /= 60;
    }
    return seconds;
}

Slurm read_slurm(const Symbols& symbols) {
    Slurm s;
    s.chosen = symbols.on("MATRIX_ENGINE_SLURM");
    s.partition = word(symbols, "SLURM_PARTITION");
    s.time = word(symbols, "SLURM_TIME");
    s.gres = word(symbols, "SLURM_GRES");
    s.cpus = symbols.integer("SLURM_CPUS");
    s.memory = word(symbols, "SLURM_MEM");
    s.max_parallel = symbols.integer("SLURM_MAX_PARALLEL");
    s.extra = word(symbols, "SLURM_EXTRA");
    const std::optional<int64_t> seconds = slurm_seconds(s.time);
    if (!seconds)
        fail_code(
            kConfig, "E_TYPE",
            "SLURM_TIME=\"{}\" is no time as Slurm writes it: \"90\" minutes, \"04:00:00\" or "
            "\"1-12:00:00\"",
            s.time);
    if (*seconds < kMinSlurmSeconds)
        fail_code(
            kConfig, "E_RANGE",
            "SLURM_TIME=\"{}\" is {} s; a job needs {} s or more, since it is told of its end "
            "two minutes before",
            s.time, *seconds, kMinSlurmSeconds);
    if (!is_memory(s.memory))
        fail_code(kConfig, "E_TYPE", "SLURM_MEM=\"{}\": a number with K, M, G or T is wanted",
                  s.memory);
    return s;
}

}  // namespace knlp::config
