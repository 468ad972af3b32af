#include <fmt/format.h>

#include <algorithm>

#include "knlp/bench/bench.h"
#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "knlp/core/host.h"
#include "knlp/data/prepare.h"
#include "knlp/data/tokenizer.h"

namespace knlp::bench {
namespace {

namespace fs = std::filesystem;

void collect(const fs::path& path, std::vector<fs::path>& files) {
    if (!fs::is_directory(path)) {
        files.push_back(path);
        return;
    }
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(path))
        if (entry.is_regular_file()) files.push_back(entry.path());
}

std::string text_of(const fs::path& file) {
    return file.extension() == ".gz" ? read_gzip(file) : read_file(file);
}

/// English kernel documentation of the installed package.
std::vector<fs::path> default_texts() {
    std::vector<fs::path> all, english;
    if (const fs::path root = data::find_linuxdoc(); !root.empty()) collect(root, all);
    for (const fs::path& file : all) {
        const std::string name = file.string();
        const bool document = name.ends_with(".rst") || name.ends_with(".rst.gz");
        if (document && name.find("/translations/") == std::string::npos) english.push_back(file);
    }
    return english;
}

/// Documents in order of their paths, until max_bytes are there; the last one is cut.
std::vector<std::string> read_documents(const TokenizerRequest& request) {
    std::vector<fs::path> files;
    for (const fs::path& path : request.texts) collect(path, files);
    if (request.texts.empty()) files = default_texts();
    std::sort(files.begin(), files.end());
    std::vector<std::string> documents;
    int64_t left = request.max_bytes;
    for (const fs::path& file : files) {
        if (left <= 0) break;
        documents.push_back(text_of(file).substr(0, static_cast<size_t>(left)));
        left -= std::ssize(documents.back());
    }
    return documents;
}

double megabytes_per_s(int64_t bytes, const Timing& timing) {
    return static_cast<double>(bytes) / 1e6 / timing.median_s;
}

}  // namespace

std::vector<Record> bench_tokenizer(const TokenizerRequest& request) {
    const std::vector<std::string> documents = read_documents(request);
    const std::vector<std::string_view> views(documents.begin(), documents.end());
    int64_t bytes = 0;
    for (const std::string& document : documents) bytes += std::ssize(document);
    if (bytes == 0)
        fail(kData,
             "no text to measure with: give --text FILE or DIRECTORY, or install the default text "
             "(make setup)");
    const int64_t threads = request.threads > 0 ? request.threads : usable_cores();
    std::vector<Record> records;
    std::unique_ptr<data::Tokenizer> tokenizer;
    if (request.tokenizer.empty()) {
        Record train{.what = "bpe.train",
                     .shape = {{"bytes", bytes}, {"merges", request.merges}},
                     .threads = threads,
                     .goal = "8,192 merges on 19 MB in at most 120 s"};
        // 256 bytes, the merges, and the end of text.
        train.timing =
            measure([&] { tokenizer = data::train_bpe(views, 257 + request.merges, threads); },
                    {.warm_up = 0, .samples = request.samples, .max_total_s = 60});
        train.results["mb_per_s"] = megabytes_per_s(bytes, train.timing);
        records.push_back(std::move(train));
    } else {
        tokenizer = data::load_tokenizer(request.tokenizer);
    }
    std::vector<int32_t> ids;
    Record encode{.what = "bpe.encode",
                  .shape = {{"bytes", bytes}, {"vocab_size", tokenizer->vocab_size()}},
                  .goal = "at least 5 MB/s on one core"};
    const auto encode_all = [&] {
        ids.clear();
        for (std::string_view document : views) tokenizer->encode(document, ids);
    };
    // The first pass meets every word for the first time; later ones find them in the cache.
    const double begin = steady_seconds();
    encode_all();
    encode.results["first_pass_s"] = steady_seconds() - begin;
    encode.timing =
        measure(encode_all, {.warm_up = 0, .samples = request.samples, .max_total_s = 60});
    encode.results["mb_per_s"] = megabytes_per_s(bytes, encode.timing);
    encode.results["bytes_per_token"] =
        static_cast<double>(bytes) / static_cast<double>(std::max<size_t>(1, ids.size()));
    Record decode{.what = "bpe.decode", .shape = encode.shape};
    std::string back;
    decode.timing = measure([&] { back = tokenizer->decode(ids); },
                            {.warm_up = 1, .samples = request.samples, .max_total_s = 60});
    decode.results["mb_per_s"] = megabytes_per_s(bytes, decode.timing);
    // A fast tokenizer that loses text has not been measured.
    if (std::ssize(back) != bytes)
        fail(kCheckFailed,
             "decoding gave {} bytes of {}: the tokenizer does not round-trip this text",
             back.size(), bytes);
    records.push_back(std::move(encode));
    records.push_back(std::move(decode));
    return records;
}

}  // namespace knlp::bench
