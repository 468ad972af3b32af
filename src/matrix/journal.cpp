#include "knlp/matrix/journal.h"

#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "knlp/core/host.h"
#include "knlp/core/json.h"
#include "knlp/core/log.h"

#include <nlohmann/json.hpp>

namespace knlp::matrix {

void note_event(const std::filesystem::path& matrix, const std::string& event,
                nlohmann::json fields) {
    fields["event"] = event;
    fields["t"] = utc_now();
    try {
        AppendFile(matrix / kJournalFile).append(canonical_json(fields) + "\n");
    } catch (const Error& error) {
        log::warn("{}", error.what());
    }
}

}  // namespace knlp::matrix
