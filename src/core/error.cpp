#include "knlp/core/error.h"

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace knlp {

std::string one_line(std::string_view text) {
    std::string line;
    line.reserve(text.size());
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x20 || byte == 0x7f)
            line += fmt::format("\\x{:02x}", byte);
        else
            line += c;
    }
    return line;
}

int exit_status(ErrorKind kind) {
    switch (kind) {
        case kUsage:
        case kConfig:
            return 2;
        case kData:
            return 3;
        case kRun:
            return 4;
        case kNotAvailable:
            return 5;
        case kLocked:
            return 6;
        case kCheckFailed:
            return 1;
    }
    return 70;
}

std::string_view default_code(ErrorKind kind) {
    switch (kind) {
        case kUsage:
            return "E_USAGE";
        case kConfig:
            return "E_CONFIG";
        case kData:
            return "E_DATA";
        case kRun:
            return "E_RUN";
        case kNotAvailable:
            return "E_NOT_AVAILABLE";
        case kLocked:
            return "E_LOCKED";
        case kCheckFailed:
            return "E_CHECK";
    }
    return "E_INTERNAL";
}

namespace {

char lower(char c) {
    return static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
}

/// Edits that make b of a: insert, delete, replace, swap of neighbours. Letters compared without
/// case.
int64_t edit_distance(std::string_view a, std::string_view b) {
    const size_t width = b.size() + 1;
    std::vector<int64_t> table((a.size() + 1) * width);
    for (size_t i = 0; i <= a.size(); ++i) {
        for (size_t j = 0; j <= b.size(); ++j) {
            int64_t& cell = table[i * width + j];
            if (i == 0 || j == 0) {
                cell = static_cast<int64_t>(i + j);
                continue;
            }
            const bool same = lower(a[i - 1]) == lower(b[j - 1]);
            cell = std::min({table[(i - 1) * width + j] + 1, table[i * width + j - 1] + 1,
                             table[(i - 1) * width + j - 1] + (same ? 0 : 1)});
            if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) &&
                lower(a[i - 2]) == lower(b[j - 1]))
                cell = std::min(cell, table[(i - 2) * width + j - 2] + 1);
        }
    }
    return table.back();
}

}  // namespace

std::string did_you_mean(std::string_view wrong, std::span<const std::string> names) {
    // A name is near when at most a third of the longer one differs, or one holds the other.
    std::vector<std::pair<int64_t, std::string_view>> near;
    for (const std::string& name : names) {
        const int64_t distance = edit_distance(wrong, name);
        const int64_t longer = static_cast<int64_t>(std::max(wrong.size(), name.size()));
        const bool contains = wrong.size() >= 4 && name.find(wrong) != std::string::npos;
        if (distance <= std::max<int64_t>(1, longer / 3) || contains)
            near.emplace_back(distance, name);
    }
    std::sort(near.begin(), near.end());
    near.erase(std::unique(near.begin(), near.end()), near.end());
    if (near.size() > 3) near.resize(3);
    if (near.empty()) return "";
    std::string text = ", did you mean ";
    for (size_t i = 0; i < near.size(); ++i) {
        if (i > 0) text += i + 1 == near.size() ? " or " : ", ";
        text += near[i].second;
    }
    return text + "?";
}

void check_failed(const char* condition, const char* file, int line) {
    std::fprintf(stderr, "knlp: internal error: check failed at %s:%d: %s\n", file, line,
                 condition);
    std::fflush(stderr);
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
    std::abort();  // libFuzzer reports aborts, not exits
#else
    std::_Exit(70);
#endif
}

}  // namespace knlp
