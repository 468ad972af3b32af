#pragma once

#include "tests/support/run_program.h"
#include "tests/support/temp_dir.h"

#include <gmock/gmock-matchers.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

namespace knlp::test {

/// The source tree (KNLP_SRC, else the working directory).
inline std::filesystem::path source_tree() {
    const char* path = std::getenv("KNLP_SRC");
    return path != nullptr ? std::filesystem::path(path) : std::filesystem::current_path();
}

inline std::string read_text(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

inline void write_text(const std::filesystem::path& path, const std::string& text) {
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << text;
}

/// Names of everything in a directory, hidden files included, sorted.
inline std::vector<std::string> names_in(const std::filesystem::path& directory) {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(directory))
        names.push_back(entry.path().filename().string());
    std::sort(names.begin(), names.end());
    return names;
}

/// An output directory of its own, with the configuration tools and make run on it.
class Output {
public:
    explicit Output(std::filesystem::path tree = source_tree()) : tree_(std::move(tree)) {}

    const std::filesystem::path& path() const { return directory_.path(); }
    std::filesystem::path dot_config() const { return directory_.file(".config"); }
    std::filesystem::path file(const std::string& name) const { return directory_.file(name); }

    /// Runs scripts/kconfig/<script> with $KCONFIG_CONFIG set to this directory's .config.
    Finished tool(const std::string& script, std::vector<std::string> arguments,
                  std::map<std::string, std::string> environment = {}) const {
        arguments.insert(arguments.begin(),
                         {"/usr/bin/python3", "-B", (tree_ / "scripts/kconfig" / script).string()});
        environment.insert({"KCONFIG_CONFIG", dot_config().string()});
        environment.insert({"KNLP_HAVE_CUDA", "n"});
        return run_program(arguments, environment, tree_);
    }

    /// Loads a fragment with this text.
    Finished load(const std::string& text) const {
        write_text(file("fragment"), text);
        return tool("kconfcheck.py", {"load", file("fragment").string()});
    }

    /// Runs make O=<directory> in the tree, free of the make around the test.
    Finished make(std::vector<std::string> arguments) const {
        arguments.insert(arguments.begin(), {"make", "O=" + path().string()});
        return run_program(
            arguments,
            {{"MAKEFLAGS", ""}, {"MAKEOVERRIDES", ""}, {"MAKELEVEL", ""}, {"MFLAGS", ""}}, tree_);
    }

private:
    std::filesystem::path tree_;
    TempDir directory_;
};

}  // namespace knlp::test
