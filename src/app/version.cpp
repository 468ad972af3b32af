#include "src/app/version.h"

#include "src/app/process.h"

#include "knlp/config/build_info.h"
#include "knlp/config/schema.h"
#include "knlp/core/host.h"
#include "knlp/core/json.h"
#include "knlp/model/attention.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <vector>

namespace knlp::app {
namespace {

/// Build symbols that are on and stand for something built in.
std::vector<std::string> features() {
    std::vector<std::string> names;
    for (const config::SymbolInfo& symbol : config::symbols())
        if (symbol.build && config::built(symbol.name) == "y" && symbol.name != "SANITIZE_NONE")
            names.emplace_back(symbol.name);
    return names;
}

/// Members of the choice that says who multiplies matrices, without "auto".
std::vector<std::string> gemm_backends() {
    std::vector<std::string> names;
    for (const config::SymbolInfo& symbol : config::symbols())
        if (symbol.choice == "GEMM_BACKEND" && !symbol.name.ends_with("_AUTO"))
            names.emplace_back(symbol.prompt);
    return names;
}

std::string fmt_version() {
    return fmt::format("{}.{}.{}", FMT_VERSION / 10000, FMT_VERSION / 100 % 100, FMT_VERSION % 100);
}

std::string json_version() {
    return fmt::format("{}.{}.{}", NLOHMANN_JSON_VERSION_MAJOR, NLOHMANN_JSON_VERSION_MINOR,
                       NLOHMANN_JSON_VERSION_PATCH);
}

}  // namespace

std::string version_text() {
    const config::BuildInfo& info = config::build_info();
    return fmt::format(
        "knlp {}\n"
        "commit        {}{}\n"
        "compiler      {} ({})\n"
        "LibTorch      {}\n"
        "libraries     fmt {}, nlohmann/json {}\n"
        "CUDA          {}\n"
        "ISA           {}\n"
        "GEMM          {}\n"
        "OpenMP        {} runtime(s)\n"
        "features      {}\n"
        "build config  {}\n",
        info.version, info.git_commit, info.git_dirty ? " (dirty)" : "", info.compiler, info.flags,
        info.torch_version, fmt_version(), json_version(),
        config::built("USE_CUDA") == "y" ? "built in" : "not built", name_of(isa()),
        fmt::join(gemm_backends(), ", "), mapped_files("libgomp").size(),
        fmt::join(features(), " "), info.build_config_sha256);
}

std::string version_json() {
    const config::BuildInfo& info = config::build_info();
    const nlohmann::json value = {
        {"name", "knlp"},
        {"version", info.version},
        {"git_commit", info.git_commit},
        {"git_dirty", info.git_dirty},
        {"git_diff_sha256", info.git_diff_sha256},
        {"compiler", info.compiler},
        {"flags", info.flags},
        {"build_type", info.build_type},
        {"libtorch", info.torch_version},
        {"fmt", fmt_version()},
        {"json", json_version()},
        {"cuda", config::built("USE_CUDA") == "y"},
        {"isa", name_of(isa())},
        {"gemm_backends", gemm_backends()},
        {"openmp_runtimes", mapped_files("libgomp").size()},
        {"features", features()},
        {"build_config_sha256", info.build_config_sha256},
    };
    return canonical_json(value) + "\n";
}

std::string variants_text(bool json) {
    nlohmann::json rows = nlohmann::json::array();
    std::string text;
    for (const model::AttentionType* type : model::attention_types()) {
        rows.push_back(
            {{"name", type->name}, {"symbol", type->symbol}, {"summary", type->summary}});
        text += fmt::format("{:<14} {:<18} {}\n", type->name, type->symbol, type->summary);
    }
    return json ? canonical_json(rows) + "\n" : text;
}

}  // namespace knlp::app
