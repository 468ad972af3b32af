#include "knlp/matrix/results.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

namespace knlp::matrix {
namespace {

constexpr size_t kNamed = 4;  // parameters in one line

/// "128x64" of "128x64 0123456789abcdef".
std::string_view shape_of(std::string_view digest) {
    return digest.substr(0, digest.find(' '));
}

const CellResult* cell_of(const Results& results, const std::string& arm, uint64_t seed) {
    const auto at = std::find_if(results.cells.begin(), results.cells.end(), [&](const auto& cell) {
        return cell.arm == arm && cell.seed == seed && cell.failure().empty();
    });
    return at == results.cells.end() ? nullptr : &*at;
}

}  // namespace

FirstWeights compare_first_weights(const Plan& plan, const Results& results) {
    FirstWeights out;
    for (const Arm& arm : plan.arms) {
        if (arm.id == plan.baseline) continue;
        std::set<std::string> shared, differing;
        for (const uint64_t seed : plan.seeds) {
            const CellResult* baseline = cell_of(results, plan.baseline, seed);
            const CellResult* cell = cell_of(results, arm.id, seed);
            if (baseline == nullptr || cell == nullptr) continue;
            for (const auto& [name, digest] : cell->first_weights) {
                const auto its = baseline->first_weights.find(name);
                if (its == baseline->first_weights.end() ||
                    shape_of(its->second) != shape_of(digest))
                    continue;
                ++out.compared;
                shared.insert(name);
                if (its->second != digest) differing.insert(name);
            }
        }
        if (differing.empty()) continue;
        std::vector<std::string> named(differing.begin(), differing.end());
        const bool more = named.size() > kNamed;
        named.resize(std::min(named.size(), kNamed));
        out.differing.push_back(fmt::format(
            "initial values: {} of {} parameters that '{}' shares with the baseline began with "
            "others for one seed ({}{})",
            differing.size(), shared.size(), arm.id, fmt::join(named, ", "), more ? ", …" : ""));
    }
    return out;
}

}  // namespace knlp::matrix
