#pragma once

#include "knlp/matrix/plan.h"

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace knlp::matrix {

/// "role=hash …", as CellResult::data_sha256.
std::string data_sha256(const std::vector<PlannedFile>& files);

/// The matrices below an output directory whose plans can be read: what was run before.
class History {
public:
    explicit History(const std::filesystem::path& output_dir);

    /// Mean wall time of finished runs of the arm on this machine, with its source; empty without
    /// any.
    Estimate estimate(const Arm& arm) const;

    /// A finished run of just this cell: equal experiment and seed, choices, data, evaluation
    /// windows and binary, with a finite metric. Relative to the output directory; "" when there is
    /// none.
    std::string finished(const Plan& plan, const Cell& cell) const;

private:
    struct Past {
        std::filesystem::path directory;
        Plan plan;
    };
    std::filesystem::path output_dir_;
    std::vector<Past> past_;  // by name
};

}  // namespace knlp::matrix
