#pragma once

#include "knlp/data/prepare.h"

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace knlp::data {

/// A stretch of text on one side of the split.
struct Piece {
    std::string_view text;  // UTF-8; valid during the visit only
    bool validation = false;
    bool end_of_text = false;  // an end-of-text token follows
};

/// A text that becomes a dataset: its pieces, and what is known about it.
struct Corpus {
    using Visitor = std::function<void(const Piece&)>;

    std::string name;
    std::vector<DatasetMeta::Source> sources;
    std::string package_version;
    bool synthetic = false;
    double entropy_nats = -1;
    int64_t bytes = 0;  // of all pieces, for progress
    /// Calls the visitor for every piece in order; the same ones each time.
    std::function<void(const Visitor&)> visit;
};

Corpus linuxdoc_corpus(const std::filesystem::path& source, bool with_translations);
/// Files below a directory by path, hidden ones left out. Error{kData} when there are none.
std::vector<std::filesystem::path> text_files(const std::filesystem::path& directory);
Corpus text_corpus(const std::vector<std::filesystem::path>& files, TextFormat format,
                   double val_fraction, bool special);
Corpus synthetic_corpus(const std::string& kind, int64_t n_tokens, uint64_t seed,
                        double val_fraction);

/// Tokenizes a corpus into the directory `out`, as the makers of prepare.h promise.
DatasetMeta make_dataset(const Corpus& corpus, const PrepareOptions& options,
                         const std::filesystem::path& out);

/// Fills in what every sidecar says about its maker and, when there are many sources, moves their
/// list into sources.sha256 (the format of sha256sum) in `directory`.
void finish_meta(const std::filesystem::path& directory, DatasetMeta& meta);

}  // namespace knlp::data
