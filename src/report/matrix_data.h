#pragma once

#include "chart_scale.h"

#include "knlp/matrix/analysis.h"
#include "knlp/matrix/plan.h"
#include "knlp/matrix/results.h"

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace knlp::report {

/// Validation loss of the finished seeds of an arm after the same number of steps, or of each at
/// its end.
struct CurvePoint {
    int64_t step = 0, n = 0;
    double tokens = 0, elapsed_s = 0;  // means over the seeds
    double mean = 0, sd = 0;           // sd is NaN for one seed
    double low = 0, high = 0;
};

/// An arm with all that the report shows of it. Costs are those of the finished cells.
struct ArmData {
    std::string id, label;
    bool baseline = false;
    matrix::ArmSummary summary;
    matrix::Contrast contrast;  // of other arms than the baseline
    std::vector<double> wall_s, peak_bytes, tokens_per_s;
    std::vector<CurvePoint> curve;
    std::vector<Point> learning_rate;  // over tokens, of the first finished seed
};

struct Fact {
    std::string name, value;
};

struct MatrixData {
    matrix::Plan plan;
    matrix::Results results;
    matrix::Analysis analysis;
    matrix::FirstWeights first_weights;
    std::vector<ArmData> arms;  // by mean, the better first; without results last
    std::string loss_unit = "nats/token", watermark;
    std::vector<std::string> caveats;  // one line each, first a word and a colon
    std::vector<std::string> machines;
    std::map<std::string, std::string> base_settings;  // of config.txt

    int64_t count(const std::string& state) const;
    bool gpu() const;  // memory is that of the GPU
};

/// Reads and checks a matrix directory: read_plan, read_results, check_recorded, analyse.
MatrixData read_matrix(const std::filesystem::path& directory);

/// Text without the directories before "cells/<id>", which belong to one machine.
std::string without_directories(const std::string& text);

}  // namespace knlp::report
