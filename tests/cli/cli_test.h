#pragma once

#include "knlp/config/symbols.h"

#include "tests/support/run_binary.h"
#include "tests/support/temp_dir.h"

#include <gmock/gmock-matchers.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <fstream>
#include <map>
#include <sstream>

namespace knlp::test {

/// The command line in a fresh directory.
class CliTest : public testing::Test {
protected:
    Finished knlp(const std::vector<std::string>& arguments,
                  const std::map<std::string, std::string>& environment = {}) {
        return run_knlp(arguments, dir_.path(), environment);
    }

    void write(const std::string& name, const std::string& text) {
        std::ofstream(dir_.file(name), std::ios::binary) << text;
    }

    /// A complete .config of the defaults and these values.
    void write_config(const std::map<std::string, std::string>& values = {},
                      const std::string& name = ".config") {
        write(name, config::Symbols::from_values(values).dot_config());
    }

    /// The command fails with this status; the one line on stderr holds each part.
    void expect_failure(const std::vector<std::string>& arguments, int status,
                        const std::string& code, const std::vector<std::string>& parts,
                        const std::map<std::string, std::string>& environment = {}) {
        const Finished done = knlp(arguments, environment);
        EXPECT_EQ(done.status, status) << done.err;
        EXPECT_EQ(done.err.find("knlp: error[" + code + "]: "), 0u) << done.err;
        EXPECT_EQ(std::count(done.err.begin(), done.err.end(), '\n'), 1) << done.err;
        EXPECT_EQ(done.out, "");
        for (const std::string& part : parts) EXPECT_THAT(done.err, testing::HasSubstr(part));
    }

    /// Names of the files in the directory, to see that nothing was written.
    std::vector<std::string> files() const {
        std::vector<std::string> names;
        for (const auto& entry : std::filesystem::directory_iterator(dir_.path()))
            names.push_back(entry.path().filename().string());
        return names;
    }

    /// The commands that `knlp --help` lists.
    std::vector<std::string> verbs() {
        const std::string help = knlp({"--help"}).out, title = "Commands:\n";
        const size_t begin = help.find(title);
        if (begin == std::string::npos) return {};
        std::istringstream lines(help.substr(begin + title.size()));
        std::vector<std::string> names;
        // Two blanks and a name; descriptions that go on are indented further.
        for (std::string line; std::getline(lines, line) && line.starts_with("  ");)
            if (line.size() > 2 && line[2] != ' ')
                names.push_back(line.substr(2, line.find(' ', 2) - 2));
        return names;
    }

    TempDir dir_;
};

}  // namespace knlp::test
