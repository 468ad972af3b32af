#include "src/app/checks.h"

#include "src/app/process.h"

#include "knlp/config/build_info.h"
#include "knlp/config/data.h"
#include "knlp/config/environment.h"
#include "knlp/config/general.h"
#include "knlp/core/elf.h"
#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "knlp/core/host.h"
#include "knlp/core/parse.h"
#include "knlp/data/prepare.h"

#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <utility>

namespace knlp::app {
namespace {

namespace fs = std::filesystem;
using State = Check::State;

bool is_there(const fs::path& path) {
    std::error_code error;
    return fs::exists(path, error);
}

/// First line of a small file of the system, "" when it cannot be read.
std::string first_line_of(const fs::path& path) {
    try {
        const std::string text = read_file(path, 1 << 20);
        return text.substr(0, text.find('\n'));
    } catch (const Error&) {
        return "";
    }
}

double gib(int64_t bytes) {
    return static_cast<double>(bytes) / (1 << 30);
}

Check program_check(const std::string& program, const std::string& package, bool required,
                    const std::string& why) {
    const std::string path = config::find_program(program);
    if (!path.empty()) return {program, State::kOk, path, "", required};
    return {program, required ? State::kMissing : State::kNote, "not found; " + why,
            "apt install " + package, required};
}

/// "2.11.0+cu130" from version.py beside LibTorch's lib directory.
std::string torch_version_at(const fs::path& directory) {
    std::string text;
    try {
        text = read_file(directory / "version.py", 1 << 20);
    } catch (const Error&) {
        return "";
    }
    const std::string key = "__version__ = '";
    const size_t begin = text.find(key);
    if (begin == std::string::npos) return "";
    return text.substr(begin + key.size(),
                       text.find('\'', begin + key.size()) - begin - key.size());
}

bool in_supported_range(const std::string& version) {
    if (!version.starts_with("2.")) return false;
    const auto minor = parse_int(version.substr(2, version.find('.', 2) - 2));
    return minor && *minor >= 11 && *minor <= 15;
}

/// Python package (or what else) that has a library, "" when not known.
std::string package_of(const std::string& library) {
    static constexpr std::pair<std::string_view, std::string_view> kPackages[] = {
        {"libcudart.", "nvidia-cuda-runtime"},
        {"libcupti.", "nvidia-cuda-cupti"},
        {"libcublas", "nvidia-cublas"},
        {"libcudnn", "nvidia-cudnn-cu13"},
        {"libcufft", "nvidia-cufft"},
        {"libcufile", "nvidia-cufile"},
        {"libcurand", "nvidia-curand"},
        {"libcusolver", "nvidia-cusolver"},
        {"libcusparseLt", "nvidia-cusparselt-cu13"},
        {"libcusparse.", "nvidia-cusparse"},
        {"libnccl", "nvidia-nccl-cu13"},
        {"libnvJitLink", "nvidia-nvjitlink"},
        {"libnvrtc", "nvidia-cuda-nvrtc"},
        {"libnvshmem", "nvidia-nvshmem-cu13"},
        {"libnvToolsExt", "nvidia-nvtx"},
        {"libcuda.so", "the NVIDIA driver"},
    };
    for (const auto& [prefix, package] : kPackages)
        if (library.starts_with(prefix)) return std::string(package);
    return "";
}

Check unresolved_check(const fs::path& library, bool required) {
    const std::string name = library.filename().string() + " needs";
    const std::vector<std::string> missing = unresolved_libraries(library);
    if (missing.empty()) return {name, State::kOk, "all its libraries are found", "", required};
    std::vector<std::string> packages;
    for (const std::string& one : missing) {
        const std::string package = package_of(one);
        if (package.starts_with("nvidia-") &&
            std::find(packages.begin(), packages.end(), package) == packages.end())
            packages.push_back(package);
    }
    std::string fix = packages.empty()
                          ? "install the packages that hold them"
                          : fmt::format("python3 -m pip install --no-deps --target {} {}",
                                        library.parent_path().parent_path().parent_path().string(),
                                        fmt::join(packages, " "));
    return {name, required ? State::kMissing : State::kNote,
            fmt::format("not found: {}{}", fmt::join(missing, ", "),
                        required ? "" : " (only --device cuda needs them)"),
            fix, required};
}

std::vector<Check> torch_checks() {
    const std::vector<std::string> mapped = mapped_files("libtorch_cpu.so");
    if (mapped.empty())
        return {{"LibTorch", State::kMissing, "this binary runs without it",
                 "make setup && make build", true}};
    const fs::path library(mapped.front());
    const fs::path directory = library.parent_path().parent_path();
    const std::string version = torch_version_at(directory);
    const std::string built_with(config::build_info().torch_version);
    std::vector<Check> checks;
    if (!in_supported_range(version))
        checks.push_back(
            {"LibTorch", State::kMissing,
             fmt::format("{} at {}; 2.11 to 2.15 are supported", version, directory.string()),
             "make setup && make build", true});
    else if (version != built_with)
        checks.push_back({"LibTorch", State::kMissing,
                          fmt::format("{} at {}, but knlp was built with {}", version,
                                      directory.string(), built_with),
                          "make build", true});
    else
        checks.push_back({"LibTorch", State::kOk,
                          fmt::format("{} at {}", version, directory.string()), "", true});
    checks.push_back(unresolved_check(library, true));
    const fs::path cuda = library.parent_path() / "libtorch_cuda.so";
    if (config::built("USE_CUDA") == "y" && is_there(cuda))
        checks.push_back(unresolved_check(cuda, false));
    return checks;
}

Check openmp_check() {
    const std::vector<std::string> runtimes = mapped_files("libgomp");
    if (runtimes.size() == 1)
        return {"OpenMP", State::kOk, "one runtime: " + runtimes.front(), "", true};
    return {
        "OpenMP", State::kMissing,
        fmt::format("{} runtimes in one process: {}", runtimes.size(), fmt::join(runtimes, ", ")),
        "make mrproper, then build again with TORCH_DIR= of one LibTorch only", true};
}

Check cuda_check() {
    const bool built_in = config::built("USE_CUDA") == "y";
    const bool driver = !host().gpu_driver.empty();
    const std::string nvcc = config::find_program("nvcc");
    if (built_in && !driver)
        return {"CUDA", State::kNote, "built in, but no driver here: runs on the processor", ""};
    if (!built_in && driver && !nvcc.empty())
        return {"CUDA", State::kNote,
                "driver and nvcc are here, but this binary is for the processor only",
                "make menuconfig (set USE_CUDA), then make"};
    if (!built_in && driver)
        return {"CUDA", State::kNote, "a driver is here, but no nvcc to build for it",
                "install the CUDA 13 toolkit, then make menuconfig (set USE_CUDA)"};
    return {"CUDA", State::kOk,
            driver ? fmt::format("driver {}, {}", host().gpu_driver, fmt::join(host().gpus, ", "))
                   : "no GPU driver; the processor is used",
            ""};
}

Check config_check(const Common& common) {
    const std::string path = config_path(common);
    if (path.empty())
        return {"configuration", State::kNote, "no .config",
                "make defconfig-gpt2-nano-cpu, or make menuconfig"};
    try {
        const config::Symbols symbols = load_symbols(common);
        return {"configuration", State::kOk,
                fmt::format("{} is in order and fits this binary", path), ""};
    } catch (const Error& error) {
        const bool build = error.code() == "E_BUILD_MISMATCH";
        return {"configuration", State::kMissing, error.what(),
                build ? "make" : "correct that line, or make menuconfig", true};
    }
}

Check data_check(const Common& common) {
    std::string data_dir = "data", dataset = "linuxdoc";
    try {
        if (!config_path(common).empty()) {
            const config::Symbols symbols = load_symbols(common);
            data_dir = config::read_general(symbols).data_dir;
            dataset = config::read_data(symbols).dataset;
        }
    } catch (const Error&) {
        // config_check() has said it; the default text is looked for instead.
    }
    std::error_code error;
    for (const fs::directory_entry& entry : fs::directory_iterator(data_dir, error))
        if (entry.path().filename().string().starts_with(dataset))
            return {"data", State::kOk,
                    fmt::format("{} is prepared in {}", dataset, entry.path().string()), ""};
    const std::string documentation = data::find_linuxdoc().string();
    if (dataset != "linuxdoc" && dataset != "synthetic")
        return {"data", State::kNote, fmt::format("{} is not in {}", dataset, data_dir),
                fmt::format("knlp data import --name {} FILES, or DATA_SUBSTITUTE=y", dataset)};
    if (dataset == "linuxdoc" && documentation.empty())
        return {"data", State::kNote, "the default text is not installed", "make setup"};
    return {"data", State::kOk,
            dataset == "linuxdoc" ? "default text: " + documentation : "synthetic text", ""};
}

Check cores_check() {
    const int64_t online = ::sysconf(_SC_NPROCESSORS_ONLN), usable = usable_cores();
    Check check{"cores", State::kOk,
                fmt::format("{} of {} usable, {}", usable, online, host().cpu_model), ""};
    if (usable < online) check.found += " (affinity or cgroup quota)";
    return check;
}

Check memory_check() {
    const int64_t free = available_memory_bytes();
    Check check{"memory", State::kOk,
                fmt::format("{:.1f} GiB free of {:.1f}", gib(free), gib(host().memory_bytes)), ""};
    if (free < (int64_t{2} << 30)) {
        check.state = State::kNote;
        check.fix =
            "the nano preset needs about 1 GiB, compiling 2 GiB: end other programs, or build with "
            "-j1";
    }
    return check;
}

Check disk_check() {
    const int64_t free = free_disk_bytes(".");
    Check check{"disk", State::kOk, fmt::format("{:.1f} GiB free here", gib(free)), ""};
    if (free < (int64_t{4} << 30)) {
        check.state = State::kNote;
        check.fix =
            "a build takes 1 GiB and a 124M checkpoint 1.5 GiB: free some space, or set OUTPUT_DIR";
    }
    return check;
}

Check pages_check() {
    const std::string mode = first_line_of("/sys/kernel/mm/transparent_hugepage/enabled");
    if (mode.empty()) return {"large pages", State::kOk, "not reported by this kernel", ""};
    if (mode.find("[never]") == std::string::npos) return {"large pages", State::kOk, mode, ""};
    return {"large pages", State::kNote, "off; large matrices are somewhat slower",
            "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled"};
}

Check governor_check() {
    const std::string governor = host().governor;
    if (governor == "powersave" || governor == "conservative")
        return {"frequency", State::kNote, "governor " + governor + ": timings will vary",
                "sudo cpupower frequency-set -g performance"};
    return {"frequency", State::kOk,
            governor.empty() ? "governor not reported" : "governor " + governor, ""};
}

}  // namespace

std::vector<Check> check_tools() {
    std::vector<Check> checks = {
        program_check("g++", "g++", true, "needed to build"),
        program_check("make", "make", true, "needed to build and run"),
        program_check("git", "git", false, "records the revision of a run"),
        program_check("kconfig-conf", "kconfig-frontends", true, "needed to configure"),
        program_check("kconfig-mconf", "kconfig-frontends", false, "needed for make menuconfig"),
        program_check("ccache", "ccache", false, "makes rebuilds faster"),
        program_check("mold", "mold", false, "makes linking faster"),
    };
    const bool kconfiglib = is_there("/usr/lib/python3/dist-packages/kconfiglib.py");
    checks.push_back({"kconfiglib", kconfiglib ? State::kOk : State::kMissing,
                      kconfiglib ? "/usr/lib/python3/dist-packages"
                                 : "not found; needed to check configurations",
                      kconfiglib ? "" : "apt install python3-kconfiglib", true});
    struct Header {
        const char* file;
        const char* package;
    };
    std::vector<std::string> missing;
    for (const Header& header :
         {Header{"fmt/format.h", "libfmt-dev"}, Header{"CLI/CLI.hpp", "libcli11-dev"},
          Header{"nlohmann/json.hpp", "nlohmann-json3-dev"}, Header{"pcre2.h", "libpcre2-dev"},
          Header{"sqlite3.h", "libsqlite3-dev"}, Header{"openssl/evp.h", "libssl-dev"},
          Header{"xxhash.h", "libxxhash-dev"}, Header{"zlib.h", "zlib1g-dev"},
          Header{"boost/math/distributions/non_central_t.hpp", "libboost-dev"},
          Header{"gtest/gtest.h", "libgtest-dev"}, Header{"gmock/gmock.h", "libgmock-dev"},
          Header{"rapidcheck.h", "librapidcheck-dev"}})
        if (!is_there(fs::path("/usr/include") / header.file) &&
            !is_there(fs::path("/usr/local/include") / header.file))
            missing.push_back(header.package);
    checks.push_back(
        {"headers", missing.empty() ? State::kOk : State::kMissing,
         missing.empty() ? "all libraries to build with" : "some to build with are missing",
         missing.empty() ? "" : fmt::format("apt install {}", fmt::join(missing, " ")), true});
    return checks;
}

std::vector<Check> check_libraries() {
    std::vector<Check> checks = torch_checks();
    checks.push_back(openmp_check());
    checks.push_back(cuda_check());
    return checks;
}

std::vector<Check> check_machine() {
    return {cores_check(), memory_check(),   disk_check(),
            pages_check(), governor_check(), {"instructions", State::kOk, name_of(isa()), ""}};
}

std::vector<Check> check_project(const Common& common) {
    return {config_check(common), data_check(common)};
}

}  // namespace knlp::app
