#pragma once

#include "knlp/data/token_file.h"

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace knlp::data {

/// How often ids occur in a token file.
struct TokenStatistics {
    int64_t tokens = 0, unique = 0, max_id = 0;
    double entropy_nats = 0;  // of the ids' frequencies: what a model without context could reach
};
TokenStatistics token_statistics(const TokenFile& tokens);

/// Everything a dataset directory promises: sizes, every id below the vocabulary, hashes of the
/// token files and of the tokenizer, and that the tokenizer there loads. Error{kData} names the
/// first thing that does not hold. Returns what was checked, one line each.
std::vector<std::string> check_dataset(const std::filesystem::path& directory,
                                       const std::string& tokenizer = "");

/// Prepared datasets in a data directory, sorted by path. A directory whose sidecar cannot be read
/// has its reason in `problem`.
struct ListedDataset {
    std::filesystem::path directory;
    DatasetMeta meta;
    std::string problem;
};
std::vector<ListedDataset> list_datasets(const std::filesystem::path& data_dir);

}  // namespace knlp::data
