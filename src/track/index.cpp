#include "knlp/track/index.h"

#include "knlp/core/error.h"
#include "knlp/core/json.h"
#include "knlp/core/log.h"
#include "knlp/track/manifest.h"
#include "knlp/track/run_dir.h"

#include <nlohmann/json.hpp>
#include <sqlite3.h>

#include <algorithm>
#include <memory>
#include <set>

namespace knlp::track {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

// Raised when the table changes: a file of another version is made anew, as all of it can be.
constexpr int kVersion = 3;
constexpr const char* kTable =
    "CREATE TABLE IF NOT EXISTS run ("
    "run_id TEXT NOT NULL, path TEXT PRIMARY KEY, state TEXT NOT NULL, started TEXT NOT NULL, "
    "model TEXT NOT NULL,"
    "dataset TEXT NOT NULL, init_from TEXT NOT NULL, seed INTEGER NOT NULL, step INTEGER NOT NULL, "
    "tokens INTEGER NOT NULL,"
    "val_loss REAL, best_val_loss REAL, tokens_per_s REAL, wall_s REAL,"
    "substituted INTEGER NOT NULL, synthetic INTEGER NOT NULL) STRICT";

struct Closer {
    void operator()(sqlite3* db) const { sqlite3_close(db); }
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
using Database = std::unique_ptr<sqlite3, Closer>;
using Statement = std::unique_ptr<sqlite3_stmt, Closer>;

[[noreturn]] void refuse(sqlite3* db, const fs::path& path) {
    fail_code(kRun, "E_IO",
              "{}: {}; it is only a cache: remove it and run `knlp report list --reindex`",
              path.string(), db != nullptr ? sqlite3_errmsg(db) : "out of memory");
}

void run_sql(sqlite3* db, const fs::path& path, const char* sql) {
    if (sqlite3_exec(db, sql, nullptr, nullptr, nullptr) != SQLITE_OK) refuse(db, path);
}

/// Two processes that switch a new file to WAL at once would wait for each other for ever: SQLite
/// answers one with "busy" at once, whatever its timeout.
void use_wal(sqlite3* db, const fs::path& path) {
    constexpr int kTries = 1000, kPauseMs = 10;
    for (int tries = 1;; ++tries) {
        const int result = sqlite3_exec(db, "PRAGMA journal_mode=WAL", nullptr, nullptr, nullptr);
        if (result == SQLITE_OK) return;
        if (result != SQLITE_BUSY || tries == kTries) refuse(db, path);
        sqlite3_sleep(kPauseMs);
    }
}

int version_of(sqlite3* db, const fs::path& path) {
    sqlite3_stmt* raw = nullptr;
    if (sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &raw, nullptr) != SQLITE_OK)
        refuse(db, path);
    const Statement statement(raw);
    return sqlite3_step(raw) == SQLITE_ROW ? sqlite3_column_int(raw, 0) : 0;
}

std::string text_at(const json& object, const char* pointer) {
    const json::json_pointer path(pointer);
    return object.contains(path) && object[path].is_string() ? object[path].get<std::string>() : "";
}

double number_at(const json& object, const char* pointer) {
    const json::json_pointer path(pointer);
    return object.contains(path) && object[path].is_number() ? object[path].get<double>() : 0;
}

/// What training started from instead of random weights, or "".
std::string initial_weights(const json& manifest) {
    const auto parents = manifest.find("parents");
    if (parents == manifest.end() || !parents->is_array()) return "";
    for (const json& parent : *parents)
        if (text_at(parent, "/kind") == "init_from") return text_at(parent, "/path");
    return "";
}

/// An object of a run's file, or {} when it is absent or damaged: half a run is still a run.
json object_of(const fs::path& path) {
    try {
        json value = read_json(path, int64_t{64} << 20);
        return value.is_object() ? value : json::object();
    } catch (const Error&) {
        return json::object();
    }
}

/// Adds what the log says: the speed of training, and for a run without a summary how far it got.
void read_log(IndexedRun& run, const fs::path& directory, double step_tokens, bool interrupted) {
    const auto reached = [&](int64_t step, double tokens) {
        run.step = std::max(run.step, step);
        run.tokens = std::max(run.tokens, static_cast<int64_t>(tokens));
    };
    const std::vector<json> events = read_metrics(directory);
    if (const std::optional<double> speed = logged_tokens_per_s(events)) run.tokens_per_s = *speed;
    if (!interrupted) return;
    for (const json& event : events) {
        const bool train = text_at(event, "/event") == "train";
        // A "train" event names the step just taken, counted from 0, and the tokens before it.
        reached(static_cast<int64_t>(number_at(event, "/step")) + (train ? 1 : 0),
                number_at(event, "/tokens") + (train ? step_tokens : 0));
        if (const double loss = number_at(event, "/val_loss"); loss > 0) {
            run.val_loss = loss;
            run.best_val_loss = run.best_val_loss > 0 ? std::min(run.best_val_loss, loss) : loss;
        }
    }
}

IndexedRun read_row(const fs::path& output_dir, const fs::path& directory) {
    const json manifest = object_of(directory / "manifest.json"),
               summary = object_of(directory / "summary.json");
    IndexedRun run;
    // One row a directory, however it was named.
    const fs::path whole = fs::absolute(directory).lexically_normal();
    const fs::path relative = whole.lexically_relative(fs::absolute(output_dir).lexically_normal());
    run.run_id = directory.filename().string();
    run.path = (relative.empty() || *relative.begin() == ".." ? whole : relative).string();
    try {
        run.state = text_at(read_status(RunDir::open(directory)), "/state");
    } catch (const Error&) {
        run.state = "unknown";
    }
    run.started = text_at(manifest, "/started");
    run.model = text_at(manifest, "/model");
    run.dataset = text_at(manifest, "/data/name");
    run.init_from = initial_weights(manifest);
    run.seed = static_cast<uint64_t>(number_at(manifest, "/seeds/seed"));
    run.step = static_cast<int64_t>(number_at(summary, "/steps"));
    run.tokens = static_cast<int64_t>(number_at(summary, "/tokens"));
    run.val_loss = number_at(summary, "/final_val_loss");
    run.best_val_loss = number_at(summary, "/best_val_loss");
    run.tokens_per_s = number_at(summary, "/tokens_per_s");
    run.wall_s = number_at(summary, "/total_time");
    run.substituted = !text_at(manifest, "/data/substitute").empty();
    const json::json_pointer synthetic("/data/synthetic");
    run.synthetic = manifest.contains(synthetic) && manifest[synthetic] == true;
    if (summary.empty()) {
        const Saved saved = last_saved(directory);
        run.step = saved.step;
        run.tokens = saved.tokens;
    }
    try {
        read_log(run, directory,
                 number_at(manifest, "/batch/effective") * number_at(manifest, "/batch/n_ctx"),
                 summary.empty());
    } catch (const Error&) {
        // No log yet.
    }
    return run;
}

bool is_run(const fs::path& directory) {
    try {
        RunDir::open(directory);
        return true;
    } catch (const Error&) {
        return false;
    }
}

void store(sqlite3* db, const fs::path& path, const IndexedRun& run) {
    sqlite3_stmt* raw = nullptr;
    if (sqlite3_prepare_v2(db,
                           "INSERT OR REPLACE INTO run VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
                           -1, &raw, nullptr) != SQLITE_OK)
        refuse(db, path);
    const Statement statement(raw);
    int column = 0;
    for (const std::string* text : {&run.run_id, &run.path, &run.state, &run.started, &run.model,
                                    &run.dataset, &run.init_from})
        sqlite3_bind_text(raw, ++column, text->data(), static_cast<int>(text->size()),
                          SQLITE_TRANSIENT);
    for (const int64_t number : {static_cast<int64_t>(run.seed), run.step, run.tokens})
        sqlite3_bind_int64(raw, ++column, number);
    for (const double number : {run.val_loss, run.best_val_loss, run.tokens_per_s, run.wall_s})
        sqlite3_bind_double(raw, ++column, number);
    for (const bool flag : {run.substituted, run.synthetic})
        sqlite3_bind_int(raw, ++column, flag ? 1 : 0);
    if (sqlite3_step(raw) != SQLITE_DONE) refuse(db, path);
}

std::string column_text(sqlite3_stmt* row, int column) {
    const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(row, column));
    return text != nullptr
               ? std::string(text, static_cast<size_t>(sqlite3_column_bytes(row, column)))
               : "";
}

/// Directories of runs: those below output_dir/runs, and of `known` (runs that lie elsewhere, by
/// --out) those that are still there.
std::set<fs::path> run_directories(const fs::path& output_dir,
                                   const std::vector<std::string>& known) {
    std::set<fs::path> directories;
    std::error_code error;
    for (const fs::directory_entry& entry : fs::directory_iterator(output_dir / "runs", error))
        if (entry.is_directory()) directories.insert(entry.path());
    for (const std::string& path : known)
        if (is_run(output_dir / path)) directories.insert(output_dir / path);
    return directories;
}

/// Makes the table anew from the directories of runs.
void fill(sqlite3* db, const fs::path& output_dir, const std::vector<std::string>& known) {
    const fs::path path = output_dir / "index.sqlite";
    run_sql(db, path, "BEGIN IMMEDIATE; DROP TABLE IF EXISTS run");
    run_sql(db, path, kTable);
    for (const fs::path& directory : run_directories(output_dir, known))
        store(db, path, read_row(output_dir, directory));
    run_sql(db, path, ("PRAGMA user_version=" + std::to_string(kVersion) + "; COMMIT").c_str());
}

/// Paths of the runs in a table of any version; nothing where it has no such column.
std::vector<std::string> known_paths(sqlite3* db) {
    sqlite3_stmt* raw = nullptr;
    if (sqlite3_prepare_v2(db, "SELECT path FROM run", -1, &raw, nullptr) != SQLITE_OK) return {};
    const Statement statement(raw);
    std::vector<std::string> paths;
    while (sqlite3_step(raw) == SQLITE_ROW) paths.push_back(column_text(raw, 0));
    return paths;
}

Database open_index(const fs::path& output_dir) {
    const fs::path path = output_dir / "index.sqlite";
    fs::create_directories(output_dir);
    sqlite3* raw = nullptr;
    const int result = sqlite3_open(path.c_str(), &raw);
    Database db(raw);
    if (result != SQLITE_OK) refuse(raw, path);
    sqlite3_busy_timeout(raw, 10000);
    use_wal(raw, path);
    run_sql(raw, path, "PRAGMA synchronous=NORMAL");
    const int version = version_of(raw, path);
    if (version != 0 && version != kVersion) fill(raw, output_dir, known_paths(raw));
    run_sql(raw, path, kTable);
    run_sql(raw, path, ("PRAGMA user_version=" + std::to_string(kVersion)).c_str());
    return db;
}

}  // namespace

void index_run(const fs::path& output_dir, const fs::path& run_directory) {
    try {
        const Database db = open_index(output_dir);
        store(db.get(), output_dir / "index.sqlite", read_row(output_dir, run_directory));
    } catch (const std::exception& error) {
        log::warn("the run was not added to the index: {}", error.what());
    }
}

void rebuild_index(const fs::path& output_dir) {
    const Database db = open_index(output_dir);
    fill(db.get(), output_dir, known_paths(db.get()));
}

namespace {

std::vector<IndexedRun> read_table(const Database& db, const fs::path& path) {
    sqlite3_stmt* raw = nullptr;
    if (sqlite3_prepare_v2(db.get(), "SELECT * FROM run ORDER BY started DESC, run_id DESC", -1,
                           &raw, nullptr) != SQLITE_OK)
        refuse(db.get(), path);
    const Statement statement(raw);
    std::vector<IndexedRun> runs;
    int result = 0;
    while ((result = sqlite3_step(raw)) == SQLITE_ROW) {
        runs.push_back({.run_id = column_text(raw, 0),
                        .path = column_text(raw, 1),
                        .state = column_text(raw, 2),
                        .started = column_text(raw, 3),
                        .model = column_text(raw, 4),
                        .dataset = column_text(raw, 5),
                        .init_from = column_text(raw, 6),
                        .seed = static_cast<uint64_t>(sqlite3_column_int64(raw, 7)),
                        .step = sqlite3_column_int64(raw, 8),
                        .tokens = sqlite3_column_int64(raw, 9),
                        .val_loss = sqlite3_column_double(raw, 10),
                        .best_val_loss = sqlite3_column_double(raw, 11),
                        .tokens_per_s = sqlite3_column_double(raw, 12),
                        .wall_s = sqlite3_column_double(raw, 13),
                        .substituted = sqlite3_column_int(raw, 14) != 0,
                        .synthetic = sqlite3_column_int(raw, 15) != 0});
    }
    if (result != SQLITE_DONE) refuse(db.get(), path);
    return runs;
}

}  // namespace

std::vector<IndexedRun> list_runs(const fs::path& output_dir) {
    const fs::path path = output_dir / "index.sqlite";
    if (!fs::exists(path)) return {};
    const Database db = open_index(output_dir);
    std::vector<IndexedRun> runs;
    for (IndexedRun& run : read_table(db, path)) {
        const fs::path directory = output_dir / run.path;
        if (!is_run(directory)) continue;  // removed, or on a disk that is not there now
        if (run.state == "running" || run.state == "pending") {
            // It goes on without the index, and a kill does not tell it.
            run = read_row(output_dir, directory);
            if (run.state != "running" && run.state != "pending") store(db.get(), path, run);
        }
        runs.push_back(std::move(run));
    }
    return runs;
}

}  // namespace knlp::track
