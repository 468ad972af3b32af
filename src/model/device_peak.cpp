#include "knlp/model/device_peak.h"

#include <algorithm>
#include <array>

namespace knlp::model {

namespace {

struct Row {
    std::string_view part;  // of the name as the driver gives it
    double flops;
};
// Data sheets, without sparsity. The PCIe and NVL forms of the H100 and H200 run at other clocks.
constexpr std::array kPeaks = {Row{"H100 80GB HBM3", 989e12}, Row{"H200", 989e12},
                               Row{"A100", 312e12}};

}  // namespace

std::optional<double> bf16_peak(std::string_view device_name) {
    if (device_name.find("NVL") != std::string_view::npos) return std::nullopt;
    const auto* row = std::find_if(kPeaks.begin(), kPeaks.end(), [&](const Row& r) {
        return device_name.find(r.part) != std::string_view::npos;
    });
    return row == kPeaks.end() ? std::nullopt : std::optional<double>(row->flops);
}

double mfu(double tokens_per_s, double flops_per_token, double peak) {
    return tokens_per_s * flops_per_token / peak;
}

}  // namespace knlp::model
