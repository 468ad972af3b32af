#include "tests/cli/cli_test.h"

namespace knlp::test {
namespace {

class Doctor : public CliTest {
protected:
    nlohmann::json check(const nlohmann::json& report, const std::string& name) {
        for (const nlohmann::json& row : report["checks"])
            if (row["name"] == name) return row;
        ADD_FAILURE() << name << " is not looked at";
        return {};
    }
};

TEST_F(Doctor, MachineThatBuiltThisIsReady) {
    write_config();
    const Finished done = knlp({"doctor", "--json"});
    EXPECT_EQ(done.status, 0) << done.out;
    const nlohmann::json report = nlohmann::json::parse(done.out);
    EXPECT_EQ(report["ready"], true);
    for (const char* name : {"g++", "kconfig-conf", "kconfiglib", "LibTorch", "libtorch_cpu.so needs", "OpenMP",
                             "configuration"})
        EXPECT_EQ(check(report, name)["state"], "ok") << name;
    for (const char* name : {"cores", "memory", "disk", "large pages", "frequency", "CUDA", "data"}) check(report, name);
}

TEST_F(Doctor, MissingToolIsNamedWithTheCommandThatFixesIt) {
    const Finished done = knlp({"doctor"}, {{"PATH", dir_.path().string()}});
    EXPECT_EQ(done.status, 1);
    for (const char* part : {"missing g++", "fix: apt install g++", "fix: apt install kconfig-frontends", "not ready"})
        EXPECT_THAT(done.out, testing::HasSubstr(part));
}

TEST_F(Doctor, AbsentConfigurationIsOnlyNoted) {
    const Finished done = knlp({"doctor", "--json"});
    EXPECT_EQ(done.status, 0) << done.out;
    const nlohmann::json row = check(nlohmann::json::parse(done.out), "configuration");
    EXPECT_EQ(row["state"], "note");
    EXPECT_THAT(row["fix"].get<std::string>(), testing::HasSubstr("make defconfig-"));
}

TEST_F(Doctor, BrokenConfigurationIsMissing) {
    write(".config", "CONFIG_SEED = 1\n");
    const Finished done = knlp({"doctor", "--json"});
    EXPECT_EQ(done.status, 1);
    const nlohmann::json row = check(nlohmann::json::parse(done.out), "configuration");
    EXPECT_EQ(row["state"], "missing");
    EXPECT_THAT(row["found"].get<std::string>(), testing::HasSubstr(".config:1"));
}

}  // namespace
}  // namespace knlp::test
