#include "knlp/bench/storage.h"

#include "knlp/bench/machine.h"
#include "knlp/bench/scratch.h"

#include "knlp/core/error.h"
#include "knlp/core/host.h"
#include "knlp/core/memory_estimate.h"
#include "knlp/core/rng.h"
#include "knlp/core/signals.h"
#include "knlp/core/stats.h"
#include "knlp/data/token_file.h"
#include "knlp/model/gpt2.h"
#include "knlp/model/loaded_model.h"
#include "knlp/train/save_trial.h"
#include "knlp/train/step_memory.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <numeric>
#include <optional>

namespace knlp::bench {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kByteVocabulary = 257;
constexpr int64_t kBlock = int64_t{4} << 20;  // of the plain write and read, as dd bs=4M
constexpr int64_t kTokens = int64_t{32} << 20;
constexpr double kCopySeconds = 0.1;

StorageRequest completed(StorageRequest request) {
    if (request.samples < kFewestSamples)
        fail(kUsage, "{} samples say nothing; at least {} are needed", request.samples,
             kFewestSamples);
    if (request.model.vocab_size == 0) request.model.vocab_size = kByteVocabulary;
    if (request.threads == 0) request.threads = usable_cores();
    return request;
}

[[noreturn]] void io_error(const fs::path& path) {
    fail_code(kRun, "E_IO", "{}: {}", path.string(), std::strerror(errno));
}

/// A descriptor that closes itself.
class Descriptor {
public:
    Descriptor(const fs::path& path, int flags) : path_(path) {
        fd_ = ::open(path.c_str(), flags | O_CLOEXEC, 0600);
        if (fd_ < 0) io_error(path);
    }
    ~Descriptor() { ::close(fd_); }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;

    void write(const char* data, int64_t bytes) const {
        for (int64_t done = 0; done < bytes;) {
            const ssize_t n = ::write(fd_, data + done, static_cast<size_t>(bytes - done));
            if (n < 0 && errno != EINTR) io_error(path_);
            done += std::max<ssize_t>(n, 0);
        }
    }
    int64_t read(char* data, int64_t bytes) const {
        const ssize_t n = ::read(fd_, data, static_cast<size_t>(bytes));
        if (n < 0) io_error(path_);
        return n;
    }
    void sync() const {
        if (::fsync(fd_) != 0) io_error(path_);
    }

private:
    fs::path path_;
    int fd_ = -1;
};

/// Seconds for `bytes` bytes into a new file, fsync included.
double plain_write(const fs::path& path, int64_t bytes) {
    // Not zeros, which some file systems do not store.
    std::vector<char> block(static_cast<size_t>(kBlock));
    const Stream noise(1, "bench/storage");
    for (size_t i = 0; i < block.size(); ++i) block[i] = static_cast<char>(noise.below(256, i));
    const double begin = steady_seconds();
    {
        const Descriptor file(path, O_WRONLY | O_CREAT | O_TRUNC);
        for (int64_t done = 0; done < bytes; done += kBlock)
            file.write(block.data(), std::min(kBlock, bytes - done));
        file.sync();
    }
    const double took = steady_seconds() - begin;
    fs::remove(path);
    return took;
}

/// The same by dd, its start included; nothing where there is no dd, or none that takes this.
std::optional<double> dd_write(const fs::path& path, int64_t bytes) {
    std::array<std::string, 8> words = {"dd",
                                        "if=/dev/zero",
                                        "of=" + path.string(),
                                        "bs=4M",
                                        "conv=fsync",
                                        "status=none",
                                        "count=" + std::to_string(bytes),
                                        "iflag=count_bytes"};
    std::array<char*, words.size() + 1> argv{};
    for (size_t i = 0; i < words.size(); ++i) argv[i] = words[i].data();
    const double begin = steady_seconds();
    pid_t child = 0;
    if (::posix_spawnp(&child, "dd", nullptr, nullptr, argv.data(), environ) != 0)
        return std::nullopt;
    int status = -1;
    while (::waitpid(child, &status, 0) < 0)
        if (errno != EINTR) io_error(path);
    const double took = steady_seconds() - begin;
    std::error_code none;
    const bool whole = status == 0 && fs::file_size(path, none) == static_cast<uintmax_t>(bytes);
    fs::remove(path, none);
    if (!whole) return std::nullopt;
    return took;
}

void plain_read(const fs::path& path, std::vector<char>& into) {
    const Descriptor file(path, O_RDONLY);
    int64_t done = 0;
    for (const auto size = std::ssize(into); done < size;) {
        const int64_t n = file.read(into.data() + done, std::min(kBlock, size - done));
        if (n == 0) break;
        done += n;
    }
    KNLP_CHECK(done == std::ssize(into));
}

void require_room(const fs::path& directory, int64_t bytes) {
    const int64_t room = free_disk_bytes(directory), need = 3 * bytes;
    if (room < need)
        fail_code(kRun, "E_DISK", "{}: {} MB free, {} MB are needed; name another with --dir",
                  directory.string(), room / 1000000, need / 1000000);
}

/// What a model in training holds before anything is measured.
MemoryEstimate trial_memory(const StorageRequest& request) {
    const int64_t held = resident_bytes();
    return {.terms = {{"weights", 4 * model::parameter_count(request.model)},
                      {"optimizer state", train::optimizer_bytes(request.optimizer, request.model)},
                      {"program and libraries", held + kFirstOperations}},
            .available = available_memory_bytes() + held};
}

constexpr std::string_view kAdvice = "take a smaller --size";

Record load_model_record(const StorageRequest& request, const fs::path& directory) {
    const int64_t bytes =
        train::SaveTrial(request.model, request.optimizer, request.seed, request.threads)
            .save_model(directory / "model");
    Record record{.what = "load.model",
                  .shape = {{"bytes", bytes}},
                  .types = {{"stored", "fp32"}, {"file", "safetensors, in the page cache"}},
                  .threads = request.threads};
    const MeasureOptions options{.warm_up = 1, .samples = request.samples, .max_total_s = 60};
    record.timing = measure(
        [&] {
            const model::LoadedModel loaded(
                {.path = directory / "model", .device = "cpu", .threads = request.threads});
        },
        options);
    std::vector<char> whole(
        static_cast<size_t>(fs::file_size(directory / "model" / "model.safetensors")));
    record.rivals["read"] =
        measure([&] { plain_read(directory / "model" / "model.safetensors", whole); }, options);
    record.results["mb_per_s"] = static_cast<double>(bytes) / 1e6 / record.timing.median_s;
    return record;
}

Record load_tokens_record(const StorageRequest& request, const fs::path& directory) {
    const fs::path file = directory / "tokens.bin";
    std::vector<int32_t> ids(static_cast<size_t>(kTokens));
    std::iota(ids.begin(), ids.end(), 0);
    for (int32_t& id : ids) id %= kByteVocabulary;
    data::write_tokens(file, ids, kByteVocabulary, data::TokenLayout::kPlain);
    Record record{.what = "load.tokens",
                  .shape = {{"tokens", kTokens}},
                  .types = {{"stored", "uint16"}, {"file", "in the page cache"}},
                  // Two bytes read and eight written a token.
                  .bytes_moved = 10 * kTokens};
    std::vector<int64_t> out(static_cast<size_t>(int64_t{1} << 16));
    record.timing = measure(
        [&] {
            const data::TokenFile tokens = data::TokenFile::open({file});
            for (int64_t at = 0; at < tokens.size(); at += std::ssize(out)) tokens.read(at, out);
        },
        {.warm_up = 1, .samples = request.samples, .max_total_s = 30});
    record.results["tokens_per_s"] = static_cast<double>(kTokens) / record.timing.median_s;
    return record;
}

}  // namespace

void require_checkpoint_memory(const StorageRequest& wanted) {
    const StorageRequest request = completed(wanted);
    MemoryEstimate estimate = trial_memory(request);
    const int64_t bytes = estimate.terms[0].bytes + estimate.terms[1].bytes;
    // Of a save, or of the plain copy that takes turns with it; more than the gradients of the
    // update that made the state.
    estimate.terms.push_back({"a copy of weights and state", bytes});
    estimate.terms.push_back({"an array to copy", request.copy_bytes > 0
                                                      ? request.copy_bytes
                                                      : default_array_bytes(estimate.available)});
    require_fit(estimate, kAdvice);
}

void require_load_memory(const StorageRequest& wanted) {
    const StorageRequest request = completed(wanted);
    // The model is made, trained by an update and saved; it is gone when its file is opened.
    MemoryEstimate estimate = trial_memory(request);
    estimate.terms.push_back({"gradients", estimate.terms[0].bytes});
    require_fit(estimate, kAdvice);
}

Record bench_checkpoint(const StorageRequest& wanted) {
    const StorageRequest request = completed(wanted);
    const Scratch scratch(request.directory);
    train::SaveTrial trial(request.model, request.optimizer, request.seed, request.threads);
    const int64_t bytes = trial.bytes();
    require_room(request.directory, bytes);
    std::vector<double> totals, stalls, plain, dd, copies, fresh_copies, over_copies, over_fresh;
    MemoryMeter memory(request.threads, request.copy_bytes);
    trial.save(scratch.path());  // the first also pays for fresh memory
    bool has_dd = dd_write(scratch.path() / "dd", kBlock).has_value();
    for (int64_t sample = 0; sample < request.samples; ++sample) {
        throw_if_stopped();
        // A virtual machine's host may have to find memory that was free for a while: not ours.
        memory.fresh_copy_seconds(bytes);
        const train::SaveTrial::Times times = trial.save(scratch.path());
        totals.push_back(times.total_s);
        stalls.push_back(times.stall_s);
        // A copy's rate counts what is read and what is written.
        copies.push_back(2 * static_cast<double>(bytes) / (1e9 * memory.copy_gbps(kCopySeconds)));
        over_copies.push_back(times.stall_s / copies.back());
        fresh_copies.push_back(memory.fresh_copy_seconds(bytes));
        over_fresh.push_back(times.stall_s / fresh_copies.back());
        plain.push_back(plain_write(scratch.path() / "plain", bytes));
        if (!has_dd) continue;
        const std::optional<double> took = dd_write(scratch.path() / "dd", bytes);
        has_dd = took.has_value();
        dd.push_back(took.value_or(0));
    }
    Record record{.what = "checkpoint",
                  .shape = {{"bytes", bytes}},
                  .types = {{"optimizer", request.optimizer.name}},
                  .threads = request.threads,
                  .timing = summarize(std::move(totals)),
                  .rivals = {{"write + fsync", summarize(std::move(plain))}},
                  .goal = "at least 0.70 of dd with fsync; training waits for the copy alone"};
    record.results = {{"mb_per_s", static_cast<double>(bytes) / 1e6 / record.timing.median_s},
                      {"stall_ms", 1e3 * summarize(std::move(stalls)).median_s},
                      {"copy_ms", 1e3 * median(copies)},
                      {"stall_over_copy", median(over_copies)},
                      {"fresh_copy_ms", 1e3 * median(fresh_copies)},
                      {"stall_over_fresh_copy", median(over_fresh)},
                      {"ratio", speed_up(record.timing, record.rivals.at("write + fsync"))}};
    if (has_dd) {
        record.rivals["dd"] = summarize(std::move(dd));
        record.results["ratio_dd"] = speed_up(record.timing, record.rivals.at("dd"));
    }
    return record;
}

std::vector<Record> bench_load(const StorageRequest& wanted) {
    const StorageRequest request = completed(wanted);
    const Scratch scratch(request.directory);
    return {load_model_record(request, scratch.path()),
            load_tokens_record(request, scratch.path())};
}

}  // namespace knlp::bench
