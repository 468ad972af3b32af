#include "tests/cli/cli_test.h"

#include <cstdlib>

namespace knlp::test {
namespace {

std::string check_text(const nlohmann::json& report, const std::string& name) {
    for (const nlohmann::json& row : report["checks"])
        if (row["name"] == name) return row["found"];
    return "";
}

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
    for (const char* name : {"g++", "kconfig-conf", "kconfiglib", "LibTorch",
                             "libtorch_cpu.so needs", "OpenMP", "configuration"})
        EXPECT_EQ(check(report, name)["state"], "ok") << name;
    for (const char* name : {"cores", "memory", "disk", "large pages", "frequency", "CUDA", "data"})
        check(report, name);
}

TEST_F(Doctor, MissingToolIsNamedWithTheCommandThatFixesIt) {
    const Finished done = knlp({"doctor"}, {{"PATH", dir_.path().string()}});
    EXPECT_EQ(done.status, 1);
    for (const char* part :
         {"missing g++", "fix: apt install g++", "fix: apt install kconfig-frontends", "not ready"})
        EXPECT_THAT(done.out, testing::HasSubstr(part));
}

TEST_F(Doctor, AbsentConfigurationIsOnlyNoted) {
    const Finished done = knlp({"doctor", "--json"});
    EXPECT_EQ(done.status, 0) << done.out;
    const nlohmann::json row = check(nlohmann::json::parse(done.out), "configuration");
    EXPECT_EQ(row["state"], "note");
    EXPECT_THAT(row["fix"].get<std::string>(), testing::HasSubstr("make defconfig-"));
}

TEST_F(Doctor, DefaultTextIsFoundInTheCacheOfSetup) {
    // Newer than any that is installed.
    const std::filesystem::path tree =
        dir_.file("cache/knlp/linux-doc/usr/share/doc/linux-doc-999.1");
    std::filesystem::create_directories(tree / "Documentation");
    const Finished done =
        knlp({"doctor", "--json"}, {{"XDG_CACHE_HOME", dir_.file("cache").string()}});
    EXPECT_EQ(check(nlohmann::json::parse(done.out), "data")["found"],
              "default text: " + tree.string());
}

TEST_F(Doctor, BrokenConfigurationIsMissing) {
    write(".config", "CONFIG_SEED = 1\n");
    const Finished done = knlp({"doctor", "--json"});
    EXPECT_EQ(done.status, 1);
    const nlohmann::json row = check(nlohmann::json::parse(done.out), "configuration");
    EXPECT_EQ(row["state"], "missing");
    EXPECT_THAT(row["found"].get<std::string>(), testing::HasSubstr(".config:1"));
}

/// What `make doctor` runs; it answers where the binary itself cannot.
class DoctorScript : public CliTest {
protected:
    Finished script(const std::string& program) {
        const char* source = std::getenv("KNLP_SRC");
        const std::filesystem::path tree =
            source && *source ? std::filesystem::path(source) : std::filesystem::current_path();
        return run_program({(tree / "scripts/doctor").string(), program}, clean_environment({}),
                           dir_.path());
    }
};

TEST_F(DoctorScript, SaysThatNothingIsBuiltYet) {
    const Finished done = script("./knlp");
    EXPECT_EQ(done.status, 1);
    EXPECT_THAT(done.out, testing::HasSubstr("./knlp is not built"));
    EXPECT_THAT(done.out, testing::HasSubstr("make"));
}

TEST_F(DoctorScript, NamesLibrariesWithoutWhichTheBinaryCannotStart) {
    // A copy whose library path leads nowhere: one letter of it is changed.
    std::ifstream in(knlp_binary(), std::ios::binary);
    std::string bytes{std::istreambuf_iterator<char>(in), {}};
    const nlohmann::json report = nlohmann::json::parse(knlp({"doctor", "--json"}).out);
    const std::string found = check_text(report, "LibTorch");
    const std::string directory = found.substr(found.find(" at ") + 4) + "/lib";
    for (size_t at = 0; (at = bytes.find(directory, at)) != std::string::npos; ++at)
        bytes[at + 1] = '#';
    write("broken", bytes);
    std::filesystem::permissions(dir_.file("broken"), std::filesystem::perms::owner_all);
    const Finished done = script("./broken");
    EXPECT_EQ(done.status, 1);
    for (const char* part : {"cannot start", "libtorch_cpu.so", "make setup"})
        EXPECT_THAT(done.out, testing::HasSubstr(part));
}

TEST_F(DoctorScript, LeavesTheRestToTheBinary) {
    write_config();
    const Finished done = script(knlp_binary().string());
    EXPECT_EQ(done.status, 0) << done.out;
    EXPECT_THAT(done.out, testing::HasSubstr("ready"));
}

}  // namespace
}  // namespace knlp::test
