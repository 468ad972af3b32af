#pragma once

#include "knlp/core/error.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

// A fuzz target is one function of the input bytes. libFuzzer's entry point is added where the file
// is built for it (KNLP_LIBFUZZER); the replay test links all targets without.
#ifdef KNLP_LIBFUZZER
#define KNLP_FUZZ_TARGET(name)                                                         \
    namespace knlp::fuzz {                                                             \
    void name(std::string_view input);                                                 \
    }                                                                                  \
    extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {          \
        knlp::fuzz::name(std::string_view(reinterpret_cast<const char*>(data), size)); \
        return 0;                                                                      \
    }                                                                                  \
    void knlp::fuzz::name(std::string_view input)
#else
#define KNLP_FUZZ_TARGET(name)         \
    namespace knlp::fuzz {             \
    void name(std::string_view input); \
    }                                  \
    void knlp::fuzz::name(std::string_view input)
#endif

namespace knlp::fuzz {

/// The input as a file in memory.
class InputFile {
public:
    explicit InputFile(std::string_view bytes) : fd_(::memfd_create("fuzz", MFD_CLOEXEC)) {
        KNLP_CHECK(fd_ >= 0);
        KNLP_CHECK(::write(fd_, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
    }
    InputFile(const InputFile&) = delete;
    InputFile& operator=(const InputFile&) = delete;
    ~InputFile() { ::close(fd_); }
    std::filesystem::path path() const { return "/proc/self/fd/" + std::to_string(fd_); }

private:
    int fd_;
};

/// A directory of this process, made once and removed at its end. Caches of the readers go there
/// too.
inline const std::filesystem::path& scratch_directory() {
    struct Scratch {
        Scratch() {
            std::string pattern = std::filesystem::is_directory("/dev/shm")
                                      ? "/dev/shm/knlp-fuzz-XXXXXX"
                                      : "/tmp/knlp-fuzz-XXXXXX";
            KNLP_CHECK(::mkdtemp(pattern.data()) != nullptr);
            path = pattern;
            ::setenv("XDG_CACHE_HOME", path.c_str(), 1);
        }
        ~Scratch() {
            std::error_code ignored;
            std::filesystem::remove_all(path, ignored);
        }
        std::filesystem::path path;
    };
    static const Scratch scratch;
    return scratch.path;
}

inline std::filesystem::path write_input(const std::string& name, std::string_view bytes) {
    const std::filesystem::path path = scratch_directory() / name;
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
    return path;
}

/// Runs a reader: the only way out of a bad file is Error about data or configuration, in one line.
template <class Reader>
void accept_errors_about_the_file(Reader&& reader) {
    try {
        reader();
    } catch (const Error& error) {
        KNLP_CHECK(error.kind() == kData || error.kind() == kConfig);
        KNLP_CHECK(std::string_view(error.what()).find('\n') == std::string_view::npos);
    }
}

}  // namespace knlp::fuzz
