#include "tests/cli/cli_test.h"

#include <cstdlib>
#include <regex>
#include <set>
#include <sstream>

namespace knlp::test {
namespace {

namespace fs = std::filesystem;

/// The source tree: $KNLP_SRC, else where the test was started.
fs::path source_tree() {
    const char* given = std::getenv("KNLP_SRC");
    return given && *given ? fs::path(given) : fs::current_path();
}

std::string text_of(const fs::path& file) {
    std::ifstream stream(file, std::ios::binary);
    EXPECT_TRUE(stream) << file;
    return {std::istreambuf_iterator<char>(stream), {}};
}

class Documents : public CliTest {};

TEST_F(Documents, CommandTableIsThatOfTheBinary) {
    const std::string page = text_of(source_tree() / "docs/commands.md");
    // ".SS knlp train" and the sentence after it.
    std::istringstream manual(knlp({"man"}).out);
    int verbs = 0;
    for (std::string line; std::getline(manual, line);) {
        if (!line.starts_with(".SS knlp ")) continue;
        const std::string verb = line.substr(9);
        std::getline(manual, line);
        line = std::regex_replace(line.substr(0, line.rfind('.')), std::regex(R"(\\-)"), "-");
        EXPECT_THAT(page, testing::HasSubstr("| `knlp " + verb + "` | " + line + " |"));
        ++verbs;
    }
    EXPECT_GE(verbs, 4);
}

TEST_F(Documents, EveryErrorCodeIsExplained) {
    const std::string page = text_of(source_tree() / "docs/exit-status.md");
    std::set<std::string> codes;
    // Quoted in C++ and Python, in brackets where a script writes the line itself.
    const std::regex quoted(R"x((?:"|error\[)(E_[A-Z_]+)["\]])x");
    for (const char* tree : {"src", "scripts"}) {
        const size_t before = codes.size();
        for (const auto& entry : fs::recursive_directory_iterator(source_tree() / tree)) {
            if (!entry.is_regular_file()) continue;
            const std::string text = text_of(entry.path());
            for (std::sregex_iterator at(text.begin(), text.end(), quoted), end; at != end; ++at)
                codes.insert((*at)[1]);
        }
        EXPECT_GT(codes.size(), before) << tree;
    }
    for (const char* of_a_script : {"E_KCONFIG", "E_RETIRED", "E_TERMINAL"})
        EXPECT_TRUE(codes.contains(of_a_script)) << of_a_script;
    EXPECT_GE(codes.size(), 15u);
    for (const std::string& code : codes) EXPECT_THAT(page, testing::HasSubstr("`" + code + "`"));
}

TEST_F(Documents, ExitStatusesAreThoseOfTheHelp) {
    const std::string page = text_of(source_tree() / "docs/exit-status.md"),
                      help = knlp({"config", "--help"}).out;
    std::istringstream lines(help.substr(help.find("Exit status:") + 13));
    int statuses = 0;
    for (int status; lines >> status; ++statuses) {
        EXPECT_THAT(page, testing::HasSubstr("\n| " + std::to_string(status) + " |"));
        lines.ignore(1000, '\n');
    }
    EXPECT_EQ(statuses, 10);
}

}  // namespace
}  // namespace knlp::test
