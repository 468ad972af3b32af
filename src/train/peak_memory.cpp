#include "peak_memory.h"

#include "knlp/core/host.h"

#include <algorithm>

namespace knlp::train {

void PeakMemory::save_begins() {
    outside_saves_ = outside_saves();
    saving_ = true;
}

void PeakMemory::save_ended() {
    during_saves_ = std::max(during_saves_, peak_resident_bytes());
    saving_ = false;
    known_ = reset_peak_resident() && known_;
}

int64_t PeakMemory::overall() const {
    return std::max({during_saves_, outside_saves_, peak_resident_bytes()});
}

int64_t PeakMemory::outside_saves() const {
    return saving_ || !known_ ? outside_saves_ : std::max(outside_saves_, peak_resident_bytes());
}

}  // namespace knlp::train
