#include "knlp/core/memory_estimate.h"

#include "knlp/core/error.h"

#include <fmt/format.h>

#include <algorithm>

namespace knlp {

namespace {

constexpr double kUsableShare = 0.95;  // of available memory
constexpr size_t kNamed = 3;           // terms that a message lists

}  // namespace

std::string bytes_text(int64_t bytes) {
    const auto b = static_cast<double>(bytes);
    if (b < 1e3) return fmt::format("{} B", bytes);
    if (b < 1e6) return fmt::format("{:.0f} kB", b / 1e3);
    if (b < 1e9) return fmt::format("{:.0f} MB", b / 1e6);
    return fmt::format("{:.1f} GB", b / 1e9);
}

int64_t MemoryEstimate::total() const {
    int64_t sum = 0;
    for (const MemoryTerm& term : terms) sum += term.bytes;
    return sum;
}

bool fits(int64_t total, int64_t available) {
    return static_cast<double>(total) <= kUsableShare * static_cast<double>(available);
}

int64_t largest_fitting(int64_t from, int64_t available,
                        const std::function<int64_t(int64_t)>& total) {
    int64_t fitting = 0, beyond = from + 1;
    while (beyond - fitting > 1) {
        const int64_t middle = fitting + (beyond - fitting) / 2;
        (fits(total(middle), available) ? fitting : beyond) = middle;
    }
    return fitting;
}

std::string shortage_text(const MemoryEstimate& estimate, std::string_view advice) {
    if (fits(estimate.total(), estimate.available)) return "";
    std::vector<MemoryTerm> terms = estimate.terms;
    std::stable_sort(terms.begin(), terms.end(),
                     [](const MemoryTerm& a, const MemoryTerm& b) { return a.bytes > b.bytes; });
    std::string largest;
    for (size_t i = 0; i < std::min(kNamed, terms.size()); ++i)
        largest +=
            fmt::format("{}{} {}", i == 0 ? "" : ", ", terms[i].name, bytes_text(terms[i].bytes));
    return fmt::format("this needs about {} of memory{}, {} are available; largest: {}; {}",
                       bytes_text(estimate.total()),
                       estimate.device.empty() ? "" : " on " + estimate.device,
                       bytes_text(estimate.available), largest, advice);
}

void require_fit(const MemoryEstimate& estimate, std::string_view advice) {
    const std::string text = shortage_text(estimate, advice);
    if (!text.empty()) fail_code(kRun, "E_MEMORY", "{}", text);
}

}  // namespace knlp
