#include "knlp/track/ledger.h"

#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>
#include <algorithm>
#include <map>
#include <memory>
#include <thread>

#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "knlp/core/hash.h"
#include "knlp/core/host.h"
#include "knlp/core/json.h"

namespace knlp::track {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr int64_t kMostBytes = int64_t{1} << 30;
constexpr int64_t kMostFileBytes = int64_t{1} << 32;
constexpr double kLongestWait_s = 120;  // an append takes milliseconds

/// Members of a row and their forms: o object, t text, n number, b boolean, a list; "?": or null.
struct MemberForm {
    const char* name;
    char form;
    bool nullable;
};
constexpr MemberForm kMembers[] = {
    {"binary_sha256", 't', true}, {"class", 't', false},      {"config_sha256", 't', true},
    {"data_sha256", 'a', false},  {"facts", 'o', false},      {"files", 'o', false},
    {"git_commit", 't', true},    {"git_dirty", 'b', true},   {"hash", 't', false},
    {"host", 't', true},          {"kind", 't', false},       {"metrics", 'o', false},
    {"prev", 't', false},         {"rule", 't', false},       {"run_id", 't', false},
    {"seq", 'n', false},          {"substitute", 'b', false}, {"synthetic", 'b', false},
    {"utc", 't', false},
};

bool has_form(const json& value, const MemberForm& member) {
    if (value.is_null()) return member.nullable;
    switch (member.form) {
        case 'o':
            return value.is_object();
        case 't':
            return value.is_string();
        case 'n':
            return value.is_number_integer();
        case 'b':
            return value.is_boolean();
        default:
            return value.is_array();
    }
}

/// What is wrong with the members of a row, or "".
std::string form_problem(const json& row) {
    if (!row.is_object()) return "is no JSON object";
    for (const MemberForm& member : kMembers) {
        const auto found = row.find(member.name);
        if (found == row.end()) return fmt::format("lacks \"{}\"", member.name);
        if (!has_form(*found, member))
            return fmt::format("has another form at \"{}\"", member.name);
    }
    if (row.size() != std::size(kMembers)) return "has members that no row has";
    for (const auto& [name, value] : row["metrics"].items())
        if (!value.is_number()) return fmt::format("has no number as metric \"{}\"", name);
    for (const auto& [name, value] : row["files"].items()) {
        const fs::path path(name);
        if (path.is_absolute() || path.lexically_normal() != path || *path.begin() == "..")
            return fmt::format("names \"{}\", which is no path below the ledger's directory", name);
        if (!value.is_string()) return fmt::format("has no SHA-256 of \"{}\"", name);
    }
    return "";
}

std::string hash_of(json row) {
    row.erase("hash");
    return sha256_hex(canonical_json(row));
}

/// What is wrong with a line by itself, or "".
std::string line_problem(std::string_view line, json& row) {
    try {
        row = parse_json(line, "it");
    } catch (const Error& error) {
        return fmt::format("is damaged: {}", error.what());
    }
    if (std::string why = form_problem(row); !why.empty()) return why;
    if (canonical_json(row) != line) return "was edited: it is not as knlp writes it";
    if (hash_of(row) != row["hash"]) return "was edited: its hash is not that of its content";
    const LedgerRule& rule = classify(row);
    if (row["class"] != rule.evidence_class || row["rule"] != rule.name)
        return fmt::format("says {} by rule {}; its facts make it {} by rule {}",
                           row["class"].dump(), row["rule"].dump(), rule.evidence_class, rule.name);
    return "";
}

constexpr const char* kAdvice =
    "take the file as it was from git or a copy; what it should say is added as a new row, never "
    "edited";

/// How a row follows the ones before it.
enum class Chain { kWhole, kPart };

/// What is wrong with a row's place after `rows`, or "".
std::string place_problem(const json& row, const std::vector<json>& rows, Chain chain) {
    const int64_t before = rows.empty() ? 0 : rows.back()["seq"].get<int64_t>();
    const int64_t seq = row["seq"];
    if (chain == Chain::kPart ? seq <= before : seq != before + 1)
        return fmt::format("says seq {} after {}", seq, before);
    const json wanted = rows.empty() ? json(std::string(64, '0')) : rows.back()["hash"];
    if (seq == before + 1 && row["prev"] != wanted)
        return "does not follow the line before: prev is another's hash";
    return "";
}

/// Reads all lines into `rows`; the first that is broken ends it.
std::optional<LedgerProblem> read_lines(std::string_view text, const std::string& name, Chain chain,
                                        std::vector<json>& rows) {
    for (size_t begin = 0; begin < text.size();) {
        const int64_t line = std::ssize(rows) + 1;
        const size_t end = text.find('\n', begin);
        if (end == std::string_view::npos)
            return LedgerProblem{
                line, fmt::format("has no end: an append that was cut short, which never counted; "
                                  "`truncate -s {} {}` removes it",
                                  begin, name)};
        json row;
        std::string why = line_problem(text.substr(begin, end - begin), row);
        if (why.empty()) why = place_problem(row, rows, chain);
        if (!why.empty()) return LedgerProblem{line, fmt::format("{}; {}", why, kAdvice)};
        rows.push_back(std::move(row));
        begin = end + 1;
    }
    return std::nullopt;
}

std::vector<json> rows_of(const fs::path& ledger, Chain chain) {
    std::vector<json> rows;
    if (const auto problem =
            read_lines(read_file(ledger, kMostBytes), ledger.string(), chain, rows))
        fail(kData, "{}:{}: line {} {}", ledger.string(), problem->line, problem->line,
             problem->what);
    return rows;
}

/// The lock beside the ledger. Appends are short, so another's is waited for.
std::unique_ptr<FileLock> lock_beside(const fs::path& ledger) {
    const double deadline = steady_seconds() + kLongestWait_s;
    for (;;) {
        try {
            return std::make_unique<FileLock>(ledger.string() + ".lock");
        } catch (const Error& error) {
            if (error.kind() != kLocked || steady_seconds() > deadline) throw;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
}

std::string content_of(json row, bool with_files) {
    for (const char* name : {"seq", "utc", "prev", "hash", "class", "rule"}) row.erase(name);
    if (!with_files) row.erase("files");
    return canonical_json(row);
}

/// seq of the newest row of this kind and run_id, when it says the same; else 0.
int64_t known_as(const std::vector<json>& rows, const json& row) {
    for (auto known = rows.rbegin(); known != rows.rend(); ++known)
        if ((*known)["kind"] == row["kind"] && (*known)["run_id"] == row["run_id"])
            return content_of(*known, false) == content_of(row, false)
                       ? (*known)["seq"].get<int64_t>()
                       : 0;
    return 0;
}

/// Whether each file of the row is as the newest row that names it says.
bool files_are_known(const std::vector<json>& rows, const json& row) {
    for (const auto& [name, hash] : row["files"].items()) {
        const auto newest = std::find_if(rows.rbegin(), rows.rend(), [&name](const json& known) {
            return known["files"].contains(name);
        });
        if (newest == rows.rend() || (*newest)["files"][name] != hash) return false;
    }
    return true;
}

/// Fills in what binds the row to the ledger.
void bind_row(json& row, const std::vector<json>& before, const fs::path& ledger) {
    const int64_t seq = std::ssize(before) + 1;
    row["seq"] = seq;
    row["utc"] = utc_now();
    row["prev"] = before.empty() ? json(std::string(64, '0')) : before.back()["hash"];
    row["hash"] = hash_of(row);
    if (std::string why = form_problem(row); !why.empty())
        fail(kData, "{}: a row for {} {}", ledger.string(), row["run_id"].dump(), why);
    if (const auto named = row["facts"].find("invalidates");
        named != row["facts"].end() && !(named->is_number_integer() && *named >= 1 && *named < seq))
        fail(kUsage, "{} has no row {} to invalidate; `knlp report ledger list` shows them",
             ledger.string(), named->dump());
}

/// One write and an fsync; after a failure the file is as it was.
void append_text(const fs::path& ledger, const std::string& text) {
    const bool fresh = !fs::exists(ledger);
    AppendFile file(ledger);
    const int64_t before = file.size();
    file.append(text);
    try {
        file.sync();
    } catch (const Error&) {
        std::error_code ignored;
        fs::resize_file(ledger, static_cast<uintmax_t>(before), ignored);
        throw;
    }
    if (fresh) sync_directory(ledger.parent_path().empty() ? "." : ledger.parent_path());
}

std::string file_problem(const fs::path& path, const std::string& name, const std::string& hash) {
    if (!fs::exists(path)) return "";
    // What the cache remembers of a file would miss a change that keeps size and time.
    if (sha256_hex(read_file(path, kMostFileBytes)) == hash) return "";
    return fmt::format(
        "names {}, which is another file now; take it as it was, or add what it says "
        "as a new row",
        name);
}

}  // namespace

json ledger_row(std::string_view kind, std::string_view run_id) {
    return {{"kind", kind},
            {"run_id", run_id},
            {"binary_sha256", {}},
            {"config_sha256", {}},
            {"git_commit", {}},
            {"git_dirty", {}},
            {"host", {}},
            {"data_sha256", json::array()},
            {"synthetic", false},
            {"substitute", false},
            {"facts", json::object()},
            {"metrics", json::object()},
            {"files", json::object()}};
}

std::vector<int64_t> append_to_ledger(const fs::path& ledger, std::vector<json> rows) {
    const std::unique_ptr<FileLock> lock = lock_beside(ledger);
    std::vector<json> all = read_ledger(ledger);
    std::vector<int64_t> out(rows.size(), 0);
    std::string text;
    const auto append = [&](json& row) {
        const LedgerRule& rule = classify(row);
        row["class"] = rule.evidence_class;
        row["rule"] = rule.name;
        bind_row(row, all, ledger);
        text += canonical_json(row) + "\n";
        all.push_back(row);
        return std::ssize(all);
    };
    // First what is new. Of rows that share a file, only those that changed; the last then has
    // the file's hash, which is what a file is compared with.
    for (size_t i = 0; i < rows.size(); ++i)
        if (out[i] = known_as(all, rows[i]); out[i] == 0) out[i] = append(rows[i]);
    for (size_t i = 0; i < rows.size(); ++i)
        if (!files_are_known(all, rows[i])) out[i] = append(rows[i]);
    if (!text.empty()) append_text(ledger, text);
    return out;
}

std::vector<json> read_ledger(const fs::path& ledger) {
    return fs::exists(ledger) ? rows_of(ledger, Chain::kWhole) : std::vector<json>();
}

std::vector<json> read_ledger_part(const fs::path& ledger) {
    return rows_of(ledger, Chain::kPart);
}

bool says_the_same(const json& one, const json& other) {
    return content_of(one, true) == content_of(other, true);
}

std::optional<int64_t> invalidated_by(std::span<const json> rows, int64_t seq) {
    for (const json& row : rows)
        if (const auto named = row["facts"].find("invalidates");
            named != row["facts"].end() && *named == seq)
            return row["seq"].get<int64_t>();
    return std::nullopt;
}

std::optional<LedgerProblem> ledger_problem(std::string_view text, const std::string& name) {
    std::vector<json> rows;
    return read_lines(text, name, Chain::kWhole, rows);
}

std::optional<LedgerProblem> changed_file(std::span<const json> rows, const fs::path& results) {
    std::map<std::string, int64_t> newest;
    for (const json& row : rows)
        for (const auto& [name, hash] : row["files"].items()) newest[name] = row["seq"];
    for (const json& row : rows)
        for (const auto& [name, hash] : row["files"].items())
            if (newest.at(name) == row["seq"])
                if (std::string why = file_problem(results / name, name, hash); !why.empty())
                    return LedgerProblem{row["seq"].get<int64_t>(), std::move(why)};
    return std::nullopt;
}

std::optional<LedgerProblem> verify_ledger(const fs::path& ledger) {
    std::vector<json> rows;
    if (auto problem =
            read_lines(read_file(ledger, kMostBytes), ledger.string(), Chain::kWhole, rows))
        return problem;
    return changed_file(rows, ledger.parent_path());
}

void add_metrics(const json& value, const std::string& prefix, json& metrics) {
    if (value.is_number()) {
        if (std::isfinite(value.get<double>())) metrics[prefix] = value;
        return;
    }
    const auto add = [&](std::string name, const json& item) {
        std::replace(name.begin(), name.end(), ' ', '_');
        add_metrics(item, prefix.empty() ? name : prefix + "/" + name, metrics);
    };
    if (value.is_object())
        for (const auto& [name, item] : value.items()) add(name, item);
    else if (value.is_array())
        for (size_t i = 0; i < value.size(); ++i) add(std::to_string(i), value[i]);
}

}  // namespace knlp::track
