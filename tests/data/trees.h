#pragma once

#include "knlp/core/file.h"
#include "knlp/data/token_file.h"
#include "knlp/data/tokenizer.h"

#include <zlib.h>

#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

namespace knlp::test {

inline void write_text(const std::filesystem::path& path, const std::string& text) {
    std::filesystem::create_directories(path.parent_path());
    write_file_atomic(path, text);
}

inline void write_gzip(const std::filesystem::path& path, const std::string& text) {
    std::filesystem::create_directories(path.parent_path());
    gzFile file = gzopen(path.c_str(), "wb");
    const bool written =
        file != nullptr && gzwrite(file, text.data(), static_cast<unsigned>(text.size())) ==
                               static_cast<int>(text.size());
    if (gzclose(file) != Z_OK || !written)
        throw std::runtime_error("gzip failed: " + path.string());
}

/// All tokens of a split, as text; the end of text shows as <|endoftext|>.
inline std::string text_of(const std::filesystem::path& dataset, const std::string& split) {
    const data::Dataset opened = data::open_dataset(dataset);
    const data::TokenFile& tokens = split == "train" ? opened.train : opened.val;
    std::vector<int64_t> wide(static_cast<size_t>(tokens.size()));
    tokens.read(0, wide);
    return data::load_tokenizer(dataset)->decode(std::vector<int32_t>(wide.begin(), wide.end()));
}

/// Names in a directory that begin with a dot: what an interrupted maker would leave.
inline std::vector<std::string> hidden_names(const std::filesystem::path& directory) {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(directory))
        if (entry.path().filename().string().starts_with('.'))
            names.push_back(entry.path().filename().string());
    return names;
}

}  // namespace knlp::test
