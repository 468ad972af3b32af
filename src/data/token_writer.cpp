#include "src/data/token_writer.h"

#include "knlp/core/error.h"
#include "src/data/token_layout.h"

#include <array>
#include <cstring>

namespace knlp::data {

namespace fs = std::filesystem;

namespace {

/// Little-endian bytes of ids, 2 or 4 each.
void to_bytes(std::span<const int32_t> ids, int64_t vocab_size, std::vector<std::byte>& out) {
    const size_t width = vocab_size <= kMaxVocab16 ? 2 : 4;
    out.resize(ids.size() * width);
    for (size_t i = 0; i < ids.size(); ++i) {
        KNLP_CHECK(ids[i] >= 0 && ids[i] < vocab_size);
        std::memcpy(out.data() + i * width, &ids[i], width);
    }
}

std::span<const std::byte> llmc_header(std::array<int32_t, 256>& header, int64_t tokens) {
    header = {kLlmcMagic, kLlmcVersion, static_cast<int32_t>(tokens)};
    return std::as_bytes(std::span(header));
}

void require_llmc_fits(int64_t vocab_size) {
    if (vocab_size > kMaxVocab16)
        fail(kUsage,
             "the llm.c layout holds 16-bit tokens, vocabulary {} needs more; use the plain layout",
             vocab_size);
}

}  // namespace

void write_tokens(const fs::path& path, std::span<const int32_t> ids, int64_t vocab_size,
                  TokenLayout layout) {
    AtomicFile file(path);
    std::vector<std::byte> bytes;
    if (layout == TokenLayout::kLlmc) {
        require_llmc_fits(vocab_size);
        if (ids.size() > INT32_MAX)
            fail(kUsage,
                 "{}: the llm.c header counts to 2147483647 tokens, {} were given; write shards",
                 path.string(), ids.size());
        std::array<int32_t, 256> header;
        file.write(llmc_header(header, std::ssize(ids)));
    }
    constexpr size_t kChunk = size_t{1} << 20;
    for (size_t i = 0; i < ids.size(); i += kChunk) {
        to_bytes(ids.subspan(i, std::min(kChunk, ids.size() - i)), vocab_size, bytes);
        file.write(bytes);
    }
    file.commit();
}

TokenWriter::TokenWriter(fs::path directory, std::string name, std::string split,
                         int64_t vocab_size, TokenLayout layout)
    : directory_(std::move(directory)),
      name_(std::move(name)),
      split_(std::move(split)),
      vocab_size_(vocab_size),
      layout_(layout) {
    if (layout_ == TokenLayout::kLlmc) {
        require_llmc_fits(vocab_size_);
    } else {
        file_ = std::make_unique<AtomicFile>(directory_ / (split_ + ".bin"));
        hash_ = std::make_unique<Sha256>();
    }
}

TokenWriter::~TokenWriter() = default;

void TokenWriter::append(std::span<const int32_t> ids) {
    tokens_ += std::ssize(ids);
    if (layout_ == TokenLayout::kPlain) {
        to_bytes(ids, vocab_size_, bytes_);
        hash_->update(bytes_);
        file_->write(bytes_);
        return;
    }
    for (int32_t id : ids) {
        KNLP_CHECK(id >= 0 && id < vocab_size_);
        shard_.push_back(static_cast<uint16_t>(id));
        if (std::ssize(shard_) == kShardTokens) write_shard();
    }
}

void TokenWriter::write_shard() {
    const fs::path path =
        directory_ / fmt::format("{}_{}_{:06}.bin", name_, split_, shards_.size());
    AtomicFile file(path);
    std::array<int32_t, 256> header;
    file.write(llmc_header(header, std::ssize(shard_)));
    file.write(std::as_bytes(std::span(shard_)));
    file.commit();
    shards_.push_back(path);
    shard_.clear();
}

std::string TokenWriter::finish() {
    if (layout_ == TokenLayout::kPlain) {
        file_->commit();
        return hash_->hex();
    }
    if (!shard_.empty()) write_shard();
    return split_sha256(shards_);
}

}  // namespace knlp::data
