#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace knlp::config {

class Symbols;

struct General {
    uint64_t seed = 1;
    bool deterministic = true;
    std::string device = "auto";     // auto, cpu, cuda, cuda:N
    bool allow_cpu_fallback = true;  // "auto" may fall back anyway; this is for the preset's cuda
    int64_t num_threads = 0;         // 0 = usable_cores()
    std::string data_dir = "data";
    std::string output_dir = "results";
    std::string log_level = "INFO";
};
General read_general(const Symbols& symbols);

/// Name of the symbol that General::seed comes from.
std::string_view seed_symbol();

}  // namespace knlp::config
