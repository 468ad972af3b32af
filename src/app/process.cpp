#include "src/app/process.h"

#include <filesystem>
#include <fstream>
#include <set>

namespace knlp::app {

std::vector<std::string> mapped_files(std::string_view prefix) {
    std::set<std::string> files;
    std::ifstream maps("/proc/self/maps");
    for (std::string line; std::getline(maps, line);) {
        const size_t slash = line.find('/');
        if (slash == std::string::npos) continue;
        const std::string path = line.substr(slash);
        if (std::filesystem::path(path).filename().string().starts_with(prefix)) files.insert(path);
    }
    return {files.begin(), files.end()};
}

}  // namespace knlp::app
