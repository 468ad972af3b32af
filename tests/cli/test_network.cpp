#include "tests/cli/cli_test.h"

namespace knlp::test {
namespace {

class Network : public CliTest {};

/// System calls of this class that a command made.
TEST_F(Network, NoSocketIsOpened) {
    const std::vector<std::string> strace = {
        "strace", "-f", "-qq", "-e", "trace=socket,connect,bind", "-o", "calls"};
    const auto traced = [&](std::vector<std::string> command) {
        std::vector<std::string> all = strace;
        all.insert(all.end(), command.begin(), command.end());
        return run_program(all, clean_environment({}), dir_.path());
    };
    if (traced({"true"}).status != 0)
        GTEST_SKIP() << "strace is not installed or may not trace here";
    write_config();
    const std::string binary = knlp_binary().string();
    for (const std::vector<std::string>& command :
         {std::vector<std::string>{binary, "config", "list"},
          {binary, "doctor"},
          {binary, "--version"}}) {
        EXPECT_EQ(traced(command).status, 0) << command[1];
        std::ifstream calls(dir_.file("calls"));
        const std::string text{std::istreambuf_iterator<char>(calls), {}};
        EXPECT_EQ(text, "") << command[1];
    }
}

}  // namespace
}  // namespace knlp::test
