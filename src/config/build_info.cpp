#include "knlp/config/build_info.h"

#include "generated/knlp_config.h"
#include "generated/version.h"

#include <map>
#include <string>

namespace knlp::config {

const BuildInfo& build_info() {
    static const BuildInfo info{
        .version = KNLP_VERSION,
        .git_commit = KNLP_GIT_COMMIT,
        .compiler = "g++ " __VERSION__,
        .flags = KNLP_FLAGS,
        .torch_version = KNLP_TORCH_VERSION,
        .build_config_sha256 = KNLP_BUILD_CONFIG_SHA256,
        .build_type = built("BUILD_DEBUG") == "y"            ? "debug"
                      : built("BUILD_RELWITHDEBINFO") == "y" ? "relwithdebinfo"
                                                             : "release",
        .git_diff_sha256 = KNLP_GIT_DIFF_SHA256,
        .git_dirty = KNLP_GIT_DIRTY != 0,
    };
    return info;
}

std::string_view embedded_build_config() {
    return KNLP_BUILD_CONFIG_TEXT;
}

std::string_view built(std::string_view name) {
    static const auto values = [] {
        std::map<std::string_view, std::string_view> map;
        std::string_view text = embedded_build_config();
        while (!text.empty()) {
            const size_t end = text.find('\n');
            const std::string_view line = text.substr(0, end);
            text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
            const size_t equals = line.find('=');
            if (!line.starts_with("CONFIG_") || equals == std::string_view::npos) continue;
            std::string_view value = line.substr(equals + 1);
            if (value.size() >= 2 && value.front() == '"')
                value = value.substr(1, value.size() - 2);
            map[line.substr(7, equals - 7)] = value;
        }
        return map;
    }();
    const auto found = values.find(name);
    return found == values.end() ? "n" : found->second;
}

}  // namespace knlp::config
