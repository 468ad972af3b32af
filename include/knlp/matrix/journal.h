#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace knlp::matrix {

/// What runners did, one JSON object a line, for people; several may write at once. No result is
/// read from it.
inline constexpr const char* kJournalFile = "journal.jsonl";

/// Appends an event: `fields` with "event" and "t" (UTC) added. One that cannot be written is
/// warned of.
void note_event(const std::filesystem::path& matrix, const std::string& event,
                nlohmann::json fields);

}  // namespace knlp::matrix
