#include "knlp/data/documents.h"

#include "knlp/core/error.h"
#include "knlp/data/token_file.h"

#include <algorithm>

namespace knlp::data {
namespace {

constexpr int64_t kPiece = int64_t{1} << 20;  // tokens read at once

}  // namespace

std::vector<int64_t> window_documents(const TokenFile& tokens, std::span<const int64_t> starts,
                                      int64_t eot) {
    if (eot < 0) return {};
    std::vector<int64_t> documents, piece;
    int64_t at = 0, ends = 0;
    for (const int64_t start : starts) {
        KNLP_CHECK(start >= at && start <= tokens.size());
        while (at < start) {
            piece.resize(static_cast<size_t>(std::min(kPiece, start - at)));
            tokens.read(at, piece);
            ends += std::count(piece.begin(), piece.end(), eot);
            at += std::ssize(piece);
        }
        documents.push_back(ends);
    }
    return ends > 0 ? documents : std::vector<int64_t>();
}

}  // namespace knlp::data
