#include "cgroup.h"

#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "knlp/core/parse.h"

#include <algorithm>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace knlp {

namespace fs = std::filesystem;

namespace {

/// First line of a small kernel file, or "" when there is none.
std::string first_line(const fs::path& path) {
    std::error_code ignored;
    if (!fs::exists(path, ignored)) return "";
    try {
        const std::string text = read_file(path, 1 << 20);
        return text.substr(0, text.find('\n'));
    } catch (const Error&) {
        return "";
    }
}

std::vector<std::string> split(const std::string& text, char separator) {
    std::vector<std::string> parts;
    std::istringstream in(text);
    for (std::string part; std::getline(in, part, separator);) parts.push_back(part);
    return parts;
}

std::string whole(const fs::path& path) {
    try {
        return read_file(path, 1 << 22);
    } catch (const Error&) {
        return "";
    }
}

/// Where a hierarchy is mounted and which directory of it is ours.
struct Hierarchy {
    bool v2 = false;
    std::string controllers;  // v1: "cpu,cpuacct"
    std::string path;         // "/user.slice/…"
};

std::vector<Hierarchy> hierarchies(const fs::path& root) {
    std::vector<Hierarchy> found;
    for (const std::string& line : split(whole(root / "proc/self/cgroup"), '\n')) {
        // "4:memory:/a/b" or "0::/a/b"; the path may hold colons.
        const size_t first = line.find(':');
        const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
        if (second == std::string::npos) continue;
        const std::string controllers = line.substr(first + 1, second - first - 1);
        found.push_back({controllers.empty(), controllers, line.substr(second + 1)});
    }
    return found;
}

/// Our directory in a hierarchy and its ancestors up to the mount point. Inside a container the
/// path of /proc/self/cgroup may lie outside the mount; then the mount point itself is what limits
/// us.
std::vector<fs::path> directories(const fs::path& root, const Hierarchy& hierarchy,
                                  const std::string& controller) {
    std::vector<fs::path> found;
    for (const std::string& line : split(whole(root / "proc/self/mountinfo"), '\n')) {
        // "36 35 98:0 /root /mnt rw,noatime shared:1 - cgroup cgroup rw,memory"
        const size_t dash = line.find(" - ");
        if (dash == std::string::npos) continue;
        const std::vector<std::string> before = split(line.substr(0, dash), ' ');
        const std::vector<std::string> after = split(line.substr(dash + 3), ' ');
        if (before.size() < 5 || after.size() < 3) continue;
        const std::vector<std::string> options = split(after[2], ',');
        const bool matches = hierarchy.v2
                                 ? after[0] == "cgroup2"
                                 : after[0] == "cgroup" && std::find(options.begin(), options.end(),
                                                                     controller) != options.end();
        if (!matches) continue;
        const fs::path mount = root / fs::path(before[4]).relative_path();
        // The mounted subtree starts at before[3]; what is above it cannot be seen.
        std::string inside = hierarchy.path;
        if (before[3] != "/" && inside.starts_with(before[3]))
            inside = inside.substr(before[3].size());
        fs::path directory = mount / fs::path(inside).relative_path();
        std::error_code ignored;
        if (!fs::is_directory(directory, ignored)) directory = mount;
        for (;; directory = directory.parent_path()) {
            found.push_back(directory);
            if (directory == mount || directory == directory.root_path()) break;
        }
    }
    return found;
}

bool has_controller(const Hierarchy& hierarchy, const char* name) {
    const std::vector<std::string> names = split(hierarchy.controllers, ',');
    return hierarchy.v2 || std::find(names.begin(), names.end(), name) != names.end();
}

/// What a control group uses, page cache included.
std::optional<int64_t> memory_usage(const fs::path& directory, bool v2) {
    return parse_int(first_line(directory / (v2 ? "memory.current" : "memory.usage_in_bytes")));
}

std::optional<double> cpu_limit(const fs::path& directory, bool v2) {
    std::optional<double> quota, period;
    if (v2) {
        const std::vector<std::string> words = split(first_line(directory / "cpu.max"), ' ');
        if (words.size() != 2) return std::nullopt;
        quota = parse_real(words[0]);  // "max" does not parse: no limit
        period = parse_real(words[1]);
    } else {
        quota = parse_real(first_line(directory / "cpu.cfs_quota_us"));  // -1: no limit
        period = parse_real(first_line(directory / "cpu.cfs_period_us"));
    }
    if (!quota || !period || *quota <= 0 || *period <= 0) return std::nullopt;
    return *quota / *period;
}

/// A value of memory.stat, 0 when absent.
int64_t memory_stat(const fs::path& directory, const std::string& name) {
    for (const std::string& line : split(whole(directory / "memory.stat"), '\n'))
        if (line.starts_with(name + " "))
            return parse_int(line.substr(name.size() + 1)).value_or(0);
    return 0;
}

void tighten_memory(const fs::path& directory, bool v2, CgroupLimits& limits) {
    const auto limit =
        parse_int(first_line(directory / (v2 ? "memory.max" : "memory.limit_in_bytes")));
    // v1 says "no limit" by a number near 2^63.
    if (!limit || *limit <= 0 || *limit >= int64_t{1} << 60) return;
    const int64_t used = memory_usage(directory, v2).value_or(0);
    const int64_t cache = memory_stat(directory, v2 ? "inactive_file" : "total_inactive_file");
    const int64_t free = std::clamp<int64_t>(*limit - used + cache, 0, *limit);
    if (limits.memory_bytes == 0 || *limit < limits.memory_bytes) limits.memory_bytes = *limit;
    if (limits.memory_free_bytes < 0 || free < limits.memory_free_bytes)
        limits.memory_free_bytes = free;
}

}  // namespace

CgroupLimits read_cgroup_limits(const fs::path& root) {
    CgroupLimits limits;
    limits.memory_free_bytes = -1;
    for (const Hierarchy& hierarchy : hierarchies(root)) {
        if (has_controller(hierarchy, "cpu"))
            for (const fs::path& directory : directories(root, hierarchy, "cpu"))
                if (const auto cpus = cpu_limit(directory, hierarchy.v2))
                    limits.cpus = limits.cpus == 0 ? *cpus : std::min(limits.cpus, *cpus);
        if (has_controller(hierarchy, "memory"))
            for (const fs::path& directory : directories(root, hierarchy, "memory"))
                tighten_memory(directory, hierarchy.v2, limits);
    }
    if (limits.memory_free_bytes < 0) limits.memory_free_bytes = 0;
    return limits;
}

std::optional<int64_t> read_cgroup_memory(const fs::path& root) {
    for (const Hierarchy& hierarchy : hierarchies(root)) {
        if (!has_controller(hierarchy, "memory")) continue;
        for (const fs::path& directory : directories(root, hierarchy, "memory"))
            if (const auto used = memory_usage(directory, hierarchy.v2)) return used;
    }
    return std::nullopt;
}

}  // namespace knlp
