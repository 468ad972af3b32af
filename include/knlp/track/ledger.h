#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace knlp::track {

/// results/ledger.jsonl: what was measured, one line each, each bound to the one before. A line is
/// the canonical JSON of
///
///   seq            its line, from 1
///   utc            when it was added
///   kind           run cell contrast benchmark published hypothesis invalidation
///   run_id         what was measured; rows of one kind and run_id are repeats, the newest counts
///   config_sha256 binary_sha256 git_commit git_dirty host   of the run; null where not recorded.
///                  host is the processor's model
///   data_sha256    "role=hash" of token files and tokenizer
///   synthetic substitute   the data were generated; others than those that were wanted
///   facts          what the class is decided by, and what else there is to say (texts, numbers)
///   class rule     as classify() says, never chosen by hand
///   metrics        name -> number
///   files          path relative to the ledger's directory -> SHA-256
///   prev hash      of the line before (64 zeros for the first); of this line without `hash`
///
/// docs/evidence.md explains classes and use.
struct LedgerRule {
    std::string_view name, evidence_class, when;
};
/// In the order in which they are asked; the first that holds decides.
std::span<const LedgerRule> ledger_rules();

/// The rule for a row by its own members. The rule "invalidated" is never its answer: that is
/// decided by later rows.
const LedgerRule& classify(const nlohmann::json& row);

/// A row of this kind with every member that append_to_ledger() does not fill in itself.
nlohmann::json ledger_row(std::string_view kind, std::string_view run_id);

/// Appends the rows under a lock beside the file, with seq, utc, class, rule, prev and hash filled
/// in: all of them or none. A row that says what the newest of its kind and run_id says already is
/// not repeated. Returns the seq of each. Waits for other appenders.
/// Error{kData} for a ledger that is not whole, or a row that invalidates none before it; E_IO when
/// it cannot be written: then no part of a line is left.
std::vector<int64_t> append_to_ledger(const std::filesystem::path& ledger,
                                      std::vector<nlohmann::json> rows);

/// Rows of a whole ledger; none where there is no file. Error{kData} naming the first broken line.
std::vector<nlohmann::json> read_ledger(const std::filesystem::path& ledger);
/// Rows that were taken out of a ledger, in its order: seq may leap, and only rows that follow one
/// another are bound.
std::vector<nlohmann::json> read_ledger_part(const std::filesystem::path& ledger);

/// seq of the row that invalidates this one, if any.
std::optional<int64_t> invalidated_by(std::span<const nlohmann::json> rows, int64_t seq);

/// The first line that is broken and why.
struct LedgerProblem {
    int64_t line = 0;
    std::string what;  // with what to do about it
};
/// Chain, hashes, classes and form of a ledger's text; `name` is for what to do.
std::optional<LedgerProblem> ledger_problem(std::string_view text, const std::string& name);
/// The first of these rows with a file below `results` that is there and is not what the row says.
/// A file that several rows name is compared with the newest of them.
std::optional<LedgerProblem> changed_file(std::span<const nlohmann::json> rows,
                                          const std::filesystem::path& results);
/// Both of a ledger and the files beside it.
std::optional<LedgerProblem> verify_ledger(const std::filesystem::path& ledger);

/// Whether two rows say the same of the same thing, whenever they were added.
bool says_the_same(const nlohmann::json& one, const nlohmann::json& other);

/// Every number below `value` by its way to it: {"a":{"b":[1,2]}} gives "a/b/0" and "a/b/1" after
/// `prefix`. Blanks in names become "_"; what is not finite is left out.
void add_metrics(const nlohmann::json& value, const std::string& prefix, nlohmann::json& metrics);

}  // namespace knlp::track
