#include "knlp/core/host.h"

#include "cgroup.h"
#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "knlp/core/log.h"
#include "knlp/core/parse.h"

#include <sched.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cmath>
#include <fstream>
#include <sstream>

namespace knlp {

namespace fs = std::filesystem;

namespace {

/// Value after "name:" or "name=" in a file of such lines, without blanks and quotes; "" when
/// absent.
std::string field(const fs::path& path, const std::string& name, char separator) {
    std::ifstream in(path);
    for (std::string line; std::getline(in, line);) {
        const size_t at = line.find(separator);
        if (at == std::string::npos) continue;
        const size_t end = line.find_last_not_of(" \t", at == 0 ? 0 : at - 1);
        if (end == std::string::npos || line.substr(0, end + 1) != name) continue;
        const std::string value = line.substr(at + 1);
        const size_t first = value.find_first_not_of(" \t\"");
        const size_t last = value.find_last_not_of(" \t\"\r");
        return first == std::string::npos ? "" : value.substr(first, last - first + 1);
    }
    return "";
}

/// "12345 kB" of /proc files, in bytes; 0 when absent.
int64_t kilobytes(const fs::path& path, const std::string& name) {
    const std::string value = field(path, name, ':');
    return parse_int(value.substr(0, value.find(' '))).value_or(0) * 1024;
}

std::string line_of(const fs::path& path) {
    std::ifstream in(path);
    std::string line;
    std::getline(in, line);
    return line;
}

/// Models by the NVIDIA driver's entries, in the order of their PCI addresses.
std::vector<std::string> read_gpus() {
    std::vector<fs::path> entries;
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator("/proc/driver/nvidia/gpus", ignored))
        entries.push_back(entry.path());
    std::sort(entries.begin(), entries.end());
    std::vector<std::string> gpus;
    for (const fs::path& entry : entries)
        gpus.push_back(field(entry / "information", "Model", ':'));
    return gpus;
}

/// "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06  Sun …" -> "580.65.06".
std::string read_gpu_driver() {
    std::istringstream words(line_of("/proc/driver/nvidia/version"));
    for (std::string word; words >> word;)
        if (word.find('.') != std::string::npos &&
            word.find_first_not_of("0123456789.") == std::string::npos)
            return word;
    return "";
}

int64_t affinity_cores() {
    // The kernel refuses a mask shorter than its own, so the size grows until it takes it.
    for (size_t cpus = 1024; cpus <= size_t{1} << 20; cpus *= 2) {
        cpu_set_t* mask = CPU_ALLOC(cpus);
        if (mask == nullptr) break;
        const size_t bytes = CPU_ALLOC_SIZE(cpus);
        const int result = ::sched_getaffinity(0, bytes, mask);
        const int count = result == 0 ? CPU_COUNT_S(bytes, mask) : 0;
        CPU_FREE(mask);
        if (result == 0) return count;
        if (errno != EINVAL) break;
    }
    return std::max<int64_t>(1, ::sysconf(_SC_NPROCESSORS_ONLN));
}

Host read_host() {
    Host h;
    struct utsname names {};
    if (::uname(&names) == 0) {
        h.hostname = names.nodename;
        h.kernel = std::string(names.sysname) + " " + names.release;
    }
    h.os = field("/etc/os-release", "PRETTY_NAME", '=');
    h.cpu_model = field("/proc/cpuinfo", "model name", ':');
    h.governor = line_of("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
    h.boot_id = line_of("/proc/sys/kernel/random/boot_id");
    h.cores = usable_cores();
    h.memory_bytes = kilobytes("/proc/meminfo", "MemTotal");
    const int64_t limit = read_cgroup_limits().memory_bytes;
    if (limit > 0 && (h.memory_bytes == 0 || limit < h.memory_bytes)) h.memory_bytes = limit;
    h.gpus = read_gpus();
    h.gpu_driver = read_gpu_driver();
    return h;
}

std::string utc(const char* format) {
    const time_t now = ::time(nullptr);
    struct tm parts {};
    KNLP_CHECK(::gmtime_r(&now, &parts) != nullptr);
    std::array<char, 64> text{};
    return {text.data(), ::strftime(text.data(), text.size(), format, &parts)};
}

double seconds(clockid_t clock) {
    struct timespec now {};
    KNLP_CHECK(::clock_gettime(clock, &now) == 0);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

}  // namespace

const Host& host() {
    static const Host machine = read_host();
    return machine;
}

int64_t usable_cores() {
    const int64_t cores = affinity_cores();
    const double quota = read_cgroup_limits().cpus;
    if (quota <= 0) return cores;
    return std::clamp<int64_t>(static_cast<int64_t>(std::ceil(quota)), 1, cores);
}

std::string crowded_text(int64_t threads) {
    const int64_t cores = usable_cores();
    if (threads <= cores) return "";
    return fmt::format("{} threads on {} usable core{}: they wait for each other", threads, cores,
                       cores == 1 ? "" : "s");
}

void warn_if_crowded(int64_t threads) {
    static std::atomic<bool> warned = false;
    const std::string text = crowded_text(threads);
    if (!text.empty() && !warned.exchange(true)) log::warn("{}", text);
}

int64_t available_memory_bytes() {
    const int64_t available = kilobytes("/proc/meminfo", "MemAvailable");
    const CgroupLimits limits = read_cgroup_limits();
    if (limits.memory_bytes == 0) return available;
    return available == 0 ? limits.memory_free_bytes
                          : std::min(available, limits.memory_free_bytes);
}

std::optional<int64_t> cgroup_memory_bytes() {
    return read_cgroup_memory();
}

int64_t resident_bytes() {
    // Asked for at every line of the log: statm is one short line, status takes twenty times as
    // long.
    std::istringstream numbers(line_of("/proc/self/statm"));
    int64_t total = 0, resident = 0;
    return numbers >> total >> resident ? resident * ::sysconf(_SC_PAGESIZE) : 0;
}
int64_t peak_resident_bytes() {
    return kilobytes("/proc/self/status", "VmHWM");
}

bool reset_peak_resident() {
    std::ofstream out("/proc/self/clear_refs");
    out << "5" << std::flush;
    return out.good();
}

int64_t cache_bytes(int level) {
    for (int index = 0; index < 8; ++index) {
        const std::string cache = fmt::format("/sys/devices/system/cpu/cpu0/cache/index{}/", index);
        if (line_of(cache + "level") != std::to_string(level)) continue;
        if (line_of(cache + "type") == "Instruction") continue;
        const std::string size = line_of(cache + "size");  // "48K"
        char* unit = nullptr;
        const int64_t value = std::strtoll(size.c_str(), &unit, 10);
        return *unit == 'K' ? value << 10 : *unit == 'M' ? value << 20 : value;
    }
    return 0;
}

int64_t free_disk_bytes(const std::string& path) {
    // The directory may not be there yet: its nearest existing ancestor is on the same file system.
    std::error_code failed;
    fs::path at = fs::absolute(path, failed);
    while (!failed && !fs::exists(at, failed) && at != at.root_path()) at = at.parent_path();
    struct statvfs info {};
    if (::statvfs(at.c_str(), &info) != 0) fail_io(path, "cannot ask for free space", errno);
    int64_t bytes = 0;
    if (__builtin_mul_overflow(static_cast<int64_t>(info.f_bavail),
                               static_cast<int64_t>(info.f_frsize), &bytes))
        return INT64_MAX;
    return bytes;
}

std::string utc_now() {
    return utc("%Y-%m-%dT%H:%M:%SZ");
}
std::string utc_stamp() {
    return utc("%Y%m%dT%H%M%SZ");
}
double wall_seconds() {
    return seconds(CLOCK_REALTIME);
}
double steady_seconds() {
    return seconds(CLOCK_MONOTONIC);
}

double process_age_s() {
    // Field 22 counts clock ticks since the machine started; the name in field 2 may hold blanks.
    const std::string stat = line_of("/proc/self/stat");
    std::istringstream fields(stat.substr(std::min(stat.size(), stat.rfind(')') + 1)));
    std::string field;
    for (int i = 3; i <= 22 && fields >> field; ++i) continue;
    const std::optional<int64_t> ticks = fields ? parse_int(field) : std::nullopt;
    const double now = seconds(CLOCK_BOOTTIME);
    return ticks ? now - static_cast<double>(*ticks) / static_cast<double>(::sysconf(_SC_CLK_TCK))
                 : 0;
}

}  // namespace knlp
