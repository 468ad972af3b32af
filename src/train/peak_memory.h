#pragma once

#include <cstdint>

namespace knlp::train {

/// The highest resident memory of the process, in all and outside saves, where the copies of a
/// checkpoint are held besides.
class PeakMemory {
public:
    void save_begins();
    void save_ended();
    int64_t overall() const;
    /// Where the kernel cannot forget a peak: up to the first save.
    int64_t outside_saves() const;

private:
    int64_t during_saves_ = 0, outside_saves_ = 0;
    bool saving_ = false, known_ = true;
};

}  // namespace knlp::train
