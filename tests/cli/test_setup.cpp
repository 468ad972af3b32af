// scripts/setup.sh with programs of our own in place of apt, dpkg, sudo and pip: nothing is
// installed.
#include "tests/cli/cli_test.h"

#include <thread>

namespace knlp::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;

/// Installs a LibTorch of one file; SETUP_SIGNAL is sent to the set-up that called it, once that is
/// done.
constexpr const char* kPip = R"(import os, sys
target = sys.argv[sys.argv.index("--target") + 1]
os.makedirs(target + "/torch")
with open(target + "/torch/version.py", "w") as file:
    file.write("__version__ = '2.11.0+test'\n")
with open(os.environ["SETUP_LOG"], "a") as log:
    log.write("pip\n")
if "SETUP_SIGNAL" in os.environ:
    os.kill(os.getppid(), int(os.environ["SETUP_SIGNAL"]))
)";

class Setup : public CliTest {
protected:
    void SetUp() override {
        fs::create_directories(dir_.file("bin"));
        fs::create_directories(dir_.file("modules/pip"));
        write("modules/pip/__init__.py", "");
        write("modules/pip/__main__.py", kPip);
        for (const char* name :
             {"sh", "sed", "mkdir", "rm", "mv", "sync", "flock", "env", "grep", "python3"})
            for (const char* folder : {"/usr/bin/", "/bin/"})
                if (fs::exists(std::string(folder) + name)) {
                    fs::create_symlink(std::string(folder) + name, dir_.file("bin") / name);
                    break;
                }
        program("id", "echo 1000");
        program("apt-get", "echo \"apt-get $1\" >> \"$SETUP_LOG\"");
        program("sudo", "echo sudo >> \"$SETUP_LOG\"; exec \"$@\"");
        program("dpkg-query", "");
    }

    void program(const std::string& name, const std::string& body) {
        write("bin/" + name, "#!/bin/sh\n" + body + "\n");
        fs::permissions(dir_.file("bin") / name, fs::perms::owner_all);
    }
    /// From now on every package is there.
    void all_packages_installed() {
        program("dpkg-query", "shift 3; for package; do echo \"ii  $package\"; done");
    }

    static fs::path script() {
        const char* source = std::getenv("KNLP_SRC");
        const fs::path tree = source && *source ? fs::path(source) : fs::current_path();
        return tree / "scripts/setup.sh";
    }
    Finished setup(std::vector<std::string> arguments = {},
                   const std::map<std::string, std::string>& environment = {}) {
        arguments.insert(arguments.begin(), {"/bin/sh", script().string(), "--no-doc"});
        return run(arguments, environment);
    }
    Finished run(const std::vector<std::string>& arguments,
                 std::map<std::string, std::string> environment = {}) {
        environment.insert({{"HOME", dir_.path().string()},
                            {"PATH", dir_.file("bin").string()},
                            {"PYTHONPATH", dir_.file("modules").string()},
                            {"SETUP_LOG", dir_.file("log").string()},
                            {"XDG_CACHE_HOME", ""},
                            {"TORCH_DIR", ""},
                            {"TORCH_VERSION", ""}});
        return run_program(arguments, environment, dir_.path());
    }
    /// Documentation included, on a system whose /usr/share/doc is documents().
    Finished setup_with_documentation(const std::vector<std::string>& more = {}) {
        std::ifstream in(script());
        std::string text{std::istreambuf_iterator<char>(in), {}};
        const std::string line = "\ndocuments=/usr/share/doc\n";
        text.replace(text.find(line), line.size(), "\ndocuments=" + documents().string() + "\n");
        write("setup.sh", text);
        std::vector<std::string> arguments = {"/bin/sh", dir_.file("setup.sh").string()};
        arguments.insert(arguments.end(), more.begin(), more.end());
        return run(arguments);
    }
    fs::path documents() const { return dir_.file("share/doc"); }
    fs::path cached_documents() const {
        return cache() / "linux-doc" / documents().relative_path();
    }
    std::string log() const {
        std::ifstream in(dir_.file("log"));
        return {std::istreambuf_iterator<char>(in), {}};
    }
    fs::path cache() const { return dir_.file(".cache/knlp"); }
    fs::path torch() const { return cache() / "libtorch-2.11.0/torch/version.py"; }
    size_t unfinished() const {
        size_t count = 0;
        for (const auto& entry : fs::directory_iterator(cache()))
            count += entry.path().extension() == ".partial";
        return count;
    }
};

TEST_F(Setup, InstallsWhatIsMissingWithSudo) {
    const Finished done = setup();
    EXPECT_EQ(done.status, 0) << done.err;
    EXPECT_EQ(log(), "sudo\napt-get update\nsudo\napt-get install\npip\n");
    EXPECT_THAT(done.out, HasSubstr("installs Debian packages: ca-certificates g++ make"));
    EXPECT_THAT(done.out, HasSubstr("ready: LibTorch 2.11.0+test"));
    EXPECT_TRUE(fs::exists(torch()));
}

TEST_F(Setup, RootNeedsNoSudo) {
    program("id", "echo 0");
    EXPECT_EQ(setup().status, 0);
    EXPECT_EQ(log(), "apt-get update\napt-get install\npip\n");
}

TEST_F(Setup, WithoutRootAndSudoNamesTheCommand) {
    fs::remove(dir_.file("bin/sudo"));
    const Finished done = setup();
    EXPECT_EQ(done.status, 5);
    EXPECT_THAT(done.err, HasSubstr("as root, run:\n  env DEBIAN_FRONTEND=noninteractive apt-get"));
    EXPECT_EQ(log(), "");
}

TEST_F(Setup, DryRunPrintsTheCommandsAndRunsNone) {
    const Finished done = setup({"--dry-run"});
    EXPECT_EQ(done.status, 0) << done.err;
    for (const char* part :
         {"  sudo env DEBIAN_FRONTEND=noninteractive apt-get install", "kconfig-frontends",
          "pip install --no-deps --target",
          "torch==2.11.0 'nvidia-cuda-runtime==13.0.*' 'nvidia-cuda-cupti==13.0.*'"})
        EXPECT_THAT(done.out, HasSubstr(part));
    EXPECT_EQ(log(), "");
    EXPECT_FALSE(fs::exists(dir_.file(".cache")));
}

TEST_F(Setup, ProgramsOfTestsAreInstalledWhenAskedFor) {
    EXPECT_THAT(setup({"--dry-run"}).out, Not(HasSubstr("zsh")));
    EXPECT_THAT(setup({"--dry-run", "--tests"}).out, HasSubstr("groff-base strace zsh"));
}

TEST_F(Setup, DoesNothingWhereAllIsThere) {
    all_packages_installed();
    ASSERT_EQ(setup().status, 0);
    ASSERT_EQ(log(), "pip\n");
    const Finished again = setup();
    EXPECT_EQ(again.status, 0);
    EXPECT_EQ(again.out, "setup: ready: LibTorch 2.11.0+test\n");
    EXPECT_EQ(setup({"--dry-run"}).out, "setup: nothing to install\n");
    EXPECT_EQ(log(), "pip\n");
}

TEST_F(Setup, ElsewhereThanDebianNamesWhatIsMissing) {
    fs::remove(dir_.file("bin/dpkg-query"));
    const Finished done = setup();
    EXPECT_EQ(done.status, 5);
    for (const char* part : {"not Debian", "g++", "kconfig-conf", "LibTorch-2.11.0", "TORCH_DIR="})
        EXPECT_THAT(done.err, HasSubstr(part));
    EXPECT_EQ(log(), "");
}

TEST_F(Setup, KilledOneLeavesNoHalfLibTorchAndTheNextBeginsAgain) {
    all_packages_installed();
    EXPECT_EQ(setup({}, {{"SETUP_SIGNAL", "9"}}).status, 128 + 9);
    EXPECT_FALSE(fs::exists(cache() / "libtorch-2.11.0"));
    EXPECT_EQ(setup().status, 0);
    EXPECT_TRUE(fs::exists(torch()));
    EXPECT_EQ(unfinished(), 0u);
}

TEST_F(Setup, TerminatedOneCleansUp) {
    all_packages_installed();
    EXPECT_EQ(setup({}, {{"SETUP_SIGNAL", "15"}}).status, 143);
    EXPECT_FALSE(fs::exists(cache() / "libtorch-2.11.0"));
    EXPECT_EQ(unfinished(), 0u);
}

TEST_F(Setup, TwoAtOnceInstallOnce) {
    all_packages_installed();
    Finished other;
    std::thread second([&] { other = setup(); });
    const Finished first = setup();
    second.join();
    EXPECT_EQ(first.status, 0) << first.err;
    EXPECT_EQ(other.status, 0) << other.err;
    EXPECT_EQ(log(), "pip\n");
    EXPECT_TRUE(fs::exists(torch()));
}

TEST_F(Setup, LibTorchOfTheUsersIsTakenAsItIs) {
    all_packages_installed();
    const Finished wrong = setup({}, {{"TORCH_DIR", dir_.file("nowhere").string()}});
    EXPECT_EQ(wrong.status, 5);
    EXPECT_THAT(wrong.err, HasSubstr("version.py is missing there"));
    fs::create_directories(dir_.file("mine"));
    write("mine/version.py", "__version__ = '2.15.0'\n");
    const Finished done = setup({}, {{"TORCH_DIR", dir_.file("mine").string()}});
    EXPECT_EQ(done.status, 0) << done.err;
    EXPECT_THAT(done.out, HasSubstr("ready: LibTorch 2.15.0"));
    EXPECT_THAT(log(), Not(HasSubstr("pip")));
}

TEST_F(Setup, PackagesAreInstalledUnderTheLockAndOtherAptsAreWaitedFor) {
    program(
        "apt-get",
        "echo \"$@\" >> \"$SETUP_LOG\"; "
        "flock -n \"$HOME/.cache/knlp/.setup.lock\" true && echo unlocked >> \"$SETUP_LOG\"; true");
    EXPECT_EQ(setup().status, 0);
    EXPECT_THAT(log(), HasSubstr("install -o DPkg::Lock::Timeout=600 -y"));
    EXPECT_THAT(log(), Not(HasSubstr("unlocked")));
}

TEST_F(Setup, WhatAKilledInstallationLeftIsConfiguredFirst) {
    program(
        "dpkg",
        "case $1 in --audit) echo 'half of g++' ;; *) echo \"dpkg $@\" >> \"$SETUP_LOG\" ;; esac");
    EXPECT_EQ(setup().status, 0);
    EXPECT_THAT(log(), testing::StartsWith("sudo\ndpkg --configure -a\nsudo\napt-get update\n"));
}

TEST_F(Setup, ConfiguringMayBeAllThatWasMissing) {
    program("dpkg-query",
            "[ ! -e configured ] || { shift 3; for package; do echo \"ii  $package\"; done; }");
    program("dpkg", "case $1 in --audit) echo 'half of g++' ;; *) : > configured ;; esac");
    EXPECT_EQ(setup().status, 0);
    EXPECT_EQ(log(), "sudo\npip\n");
}

TEST_F(Setup, DocumentationThatTheSystemLeavesOutGoesToTheCache) {
    all_packages_installed();
    program("apt-cache", "echo 'linux-doc'; echo '  Depends: linux-doc-6.1'");
    program("apt-get", "echo \"apt-get $1\" >> \"$SETUP_LOG\"; : > package.deb");
    program("dpkg-deb", "mkdir -p \"$3" + documents().string() + "/linux-doc-6.1/Documentation\"");
    const Finished dry = setup_with_documentation({"--dry-run"});
    EXPECT_EQ(dry.status, 0) << dry.err;
    EXPECT_THAT(dry.out, HasSubstr("  apt-get download linux-doc-6.1\n  dpkg-deb -x"));
    EXPECT_FALSE(fs::exists(cache()));

    const Finished done = setup_with_documentation();
    EXPECT_EQ(done.status, 0) << done.err;
    EXPECT_TRUE(fs::exists(cached_documents() / "linux-doc-6.1/Documentation"));
    EXPECT_EQ(log(), "apt-get download\npip\n");
    EXPECT_EQ(setup_with_documentation().out, "setup: ready: LibTorch 2.11.0+test\n");
}

TEST_F(Setup, DocumentationThatIsInstalledIsLeftThere) {
    all_packages_installed();
    fs::create_directories(documents() / "linux-doc-6.1/Documentation");
    EXPECT_EQ(setup_with_documentation().status, 0);
    EXPECT_EQ(log(), "pip\n");
    EXPECT_FALSE(fs::exists(cache() / "linux-doc"));
}

TEST_F(Setup, ElsewhereThanDebianALibTorchOfPythonsCounts) {
    fs::remove(dir_.file("bin/dpkg-query"));
    EXPECT_THAT(setup().err, HasSubstr("LibTorch-2.11.0"));
    fs::create_directories(dir_.file("modules/torch"));
    write("modules/torch/__init__.py", "raise SystemExit('imported')\n");
    EXPECT_THAT(setup().err, Not(HasSubstr("LibTorch-2.11.0")));
    fs::remove_all(dir_.file("modules/torch"));
    fs::create_directories(dir_.file(".local/lib/python3.11/site-packages/torch"));
    write(".local/lib/python3.11/site-packages/torch/version.py", "");
    EXPECT_THAT(setup().err, Not(HasSubstr("LibTorch-2.11.0")));
}

TEST_F(Setup, ElsewhereThanDebianTheInterpreterOfMakeIsAsked) {
    fs::remove(dir_.file("bin/dpkg-query"));
    // One that has every module does not help: make runs /usr/bin/python3.
    fs::remove(dir_.file("bin/python3"));
    program("python3", "exit 0");
    write("modules/kconfiglib.py", "raise ImportError\n");
    EXPECT_THAT(setup().err, HasSubstr("kconfiglib(/usr/bin/python3)"));
}

TEST_F(Setup, UnknownArgumentIsWrongUsage) {
    const Finished done = setup({"--dryrun"});
    EXPECT_EQ(done.status, 2);
    EXPECT_THAT(done.err, HasSubstr("--dryrun"));
    EXPECT_EQ(log(), "");
}

}  // namespace
}  // namespace knlp::test
