#pragma once

#include "knlp/config/data.h"
#include "knlp/data/token_file.h"

#include <filesystem>
#include <string>
#include <vector>

namespace knlp::data {

/// What a run trains on, after substitutions.
struct Resolved {
    Dataset dataset;
    std::filesystem::path tokenizer_directory;   // load_tokenizer() works on it; empty if none is known
    std::string wanted;                          // dataset asked for
    std::string substitute;                      // "" or why and what stands in: shown in banner, manifest, figures
};

/// Finds DATA_DIR/<dataset>[-tokenizer]; makes it where it can be made here (linuxdoc from the installed
/// package, a custom text file, synthetic). Otherwise: the allowed substitute, or Error{kData} with the
/// `knlp data` command that makes it. strict: no substitute, Error{kData} (status 3).
Resolved resolve_dataset(const config::Data& data, const std::filesystem::path& data_dir, bool strict);

}  // namespace knlp::data
