#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>

namespace knlp::matrix {

struct Plan;

/// What the cells of each arm need of memory: the plan's prediction, until one has finished, then
/// 1.1 times its measured peak.
class MemoryBook {
public:
    explicit MemoryBook(const Plan& plan);
    void measured(const std::string& arm, int64_t peak_bytes);
    /// nullopt where neither is known.
    std::optional<int64_t> needed(const std::string& arm) const;

private:
    std::map<std::string, int64_t> predicted_, measured_;
};

/// What a running cell has set aside, and has in use of it.
struct Reservation {
    int64_t reserved = 0, resident = 0;
};
/// Whether another cell fits beside those that run: in `available`, which is free now, they will
/// yet take what they have set aside and do not use.
bool fits_beside(std::span<const Reservation> running, int64_t needed, int64_t available);

}  // namespace knlp::matrix
