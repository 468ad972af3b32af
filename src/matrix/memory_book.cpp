#include "memory_book.h"

#include "knlp/matrix/plan.h"

#include <algorithm>

namespace knlp::matrix {

MemoryBook::MemoryBook(const Plan& plan) {
    for (const Arm& arm : plan.arms)
        if (arm.estimate.memory_bytes) predicted_[arm.id] = *arm.estimate.memory_bytes;
}

void MemoryBook::measured(const std::string& arm, int64_t peak_bytes) {
    measured_.emplace(arm, peak_bytes + peak_bytes / 10);
}

std::optional<int64_t> MemoryBook::needed(const std::string& arm) const {
    for (const auto* known : {&measured_, &predicted_})
        if (const auto found = known->find(arm); found != known->end()) return found->second;
    return std::nullopt;
}

bool fits_beside(std::span<const Reservation> running, int64_t needed, int64_t available) {
    if (running.empty()) return true;  // the run itself says when it does not fit
    int64_t promised = 0;
    for (const Reservation& r : running) promised += std::max<int64_t>(0, r.reserved - r.resident);
    return needed <= available - promised;
}

}  // namespace knlp::matrix
