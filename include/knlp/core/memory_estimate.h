#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace knlp {

/// "1.3 GB", "12 MB", "812 B": powers of 1000, two or three digits.
std::string bytes_text(int64_t bytes);

/// What libraries keep from their first use on.
inline constexpr int64_t kFirstOperations = int64_t{36} << 20;

struct MemoryTerm {
    std::string name;
    int64_t bytes = 0;
};

/// What something will hold at its peak, by formula, against what there is.
struct MemoryEstimate {
    std::vector<MemoryTerm> terms;
    int64_t snapshot = 0;       // copies of a checkpoint, held only while it is written
    int64_t available = 0;      // for this process, what it holds already included
    std::string device = {};    // whose memory it is; "" = the machine's
    int64_t fitting_batch = 0;  // largest batch that would fit; 0: not even one sequence
    int64_t total() const;      // without the snapshot
};

/// Whether `total` leaves a twentieth of what is available.
bool fits(int64_t total, int64_t available);

/// The largest batch of `from` sequences and fewer for which total(batch) fits, or 0. total() grows
/// with the batch.
int64_t largest_fitting(int64_t from, int64_t available,
                        const std::function<int64_t(int64_t)>& total);

/// What is missing, with the three largest terms and what to do; "" when the total fits.
std::string shortage_text(const MemoryEstimate& estimate, std::string_view advice);
/// Error{kRun, "E_MEMORY"} with it.
void require_fit(const MemoryEstimate& estimate, std::string_view advice);

}  // namespace knlp
