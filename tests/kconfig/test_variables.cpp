// Variables of make's command line, as a user meets them.
#include "tests/kconfig/tools.h"
#include "tests/support/scoped_environment.h"

#include <string>

namespace knlp::test {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

TEST(Variables, MisspeltOneIsAnErrorWithASuggestion) {
    const Output output;
    const Finished result = output.make({"MAX_ITER=5", "help"});
    EXPECT_EQ(result.status, 2);
    EXPECT_THAT(result.err,
                HasSubstr("MAX_ITER= is not a variable of this Makefile; did you mean MAX_ITERS"));
}

TEST(Variables, OnesOfOtherVersionsSayWhatIsHereInstead) {
    const Output output;
    for (const auto& [given, text] :
         {std::pair{"EPOCHS=3", "*** EPOCHS=: epochs belong to the vision"},
          {"KCONF=conf", "taken from $PATH"},
          {"TRACKER=none,wandb", "none goes alone"},
          {"TRACKER=tensorbord", "is none of: none tensorboard trackio wandb both"}}) {
        const Finished result = output.make({"-n", "continue", given});
        EXPECT_EQ(result.status, 2) << given;
        EXPECT_THAT(result.err, HasSubstr(text));
    }
}

TEST(Variables, OneThatWouldDoNothingIsRefused) {
    const Output output;
    for (const auto& [goal, given] : {std::pair{"train", "ROUNDS=3"},
                                      {"build", "DEVICE=cuda"},
                                      {"clean", "THREADS=4"},
                                      {"report", "TIME=5"},
                                      {"menuconfig", "DEFCONFIG=gpt2-nano-cpu"}}) {
        const Finished result = output.make({goal, given});
        EXPECT_EQ(result.status, 2);
        const std::string name(given, std::string(given).find('='));
        EXPECT_THAT(result.err,
                    HasSubstr(name + "= does nothing for make " + goal + "; it is for: "));
        EXPECT_THAT(names_in(output.path()), IsEmpty());
    }
}

TEST(Variables, DeviceThreadsAndTrackerReachTheRun) {
    const Output output;
    // "continue" builds nothing, so that a program of the test's own can stand in.
    write_text(output.file("knlp"),
               "#!/bin/sh\ncase $* in *--which) echo run;; *) echo \"$KNLP_MAKE_SET|$@\";; esac\n");
    std::filesystem::permissions(output.file("knlp"), std::filesystem::perms::owner_all);
    const Finished result = output.make({"continue", "DEVICE=cuda", "THREADS=3", "TRACKER=none"});
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_EQ(result.out,
              "NUM_THREADS=3 ENABLE_TENSORBOARD=n ENABLE_TRACKIO=n ENABLE_WANDB=n|"
              "train --resume run --device cuda\n");
    EXPECT_EQ(output.make({"continue", "TRACKER=tensorboard"}).out,
              "ENABLE_TENSORBOARD=y ENABLE_TRACKIO=n ENABLE_WANDB=n|train --resume run\n");
}

TEST(Variables, TrackersWithoutTheirClientsStopBeforeTheRun) {
    const Output output;
    const ScopedEnvironment cache("XDG_CACHE_HOME", output.file("none").string());
    write_text(output.file("knlp"), "#!/bin/sh\necho run\n");
    std::filesystem::permissions(output.file("knlp"), std::filesystem::perms::owner_all);
    for (const char* given : {"TRACKER=trackio", "TRACKER=both", "TRACKER=tensorboard,wandb"}) {
        const Finished result = output.make({"continue", given});
        EXPECT_EQ(result.status, 2) << given;
        EXPECT_THAT(result.err, HasSubstr("are not installed; run: make trackers")) << given;
        EXPECT_THAT(result.out, Not(HasSubstr("run"))) << given;
    }
}

TEST(Sanitizer, IsOneOfThreeAndCheckedInADirectoryOfItsOwn) {
    const Output output;
    const Finished refused = output.make({"check", "SAN=adress"});
    EXPECT_EQ(refused.status, 2);
    EXPECT_THAT(refused.err, HasSubstr("SAN=adress is none of address, undefined, thread"));
    // Under -n the inner makes do not make the configurations that they then look for.
    std::filesystem::create_directories(output.file("build/check-address"));
    ASSERT_EQ(
        output.make({"O=" + output.file("build/check-address").string(), "defconfig-gpt2-nano-cpu"})
            .status,
        0);
    const Finished check = output.make({"-n", "check", "SAN=address"});
    EXPECT_EQ(check.status, 0) << check.err;
    EXPECT_THAT(check.out, HasSubstr("CONFIG_SANITIZE_ADDRESS=y/' " +
                                     output.file("build/check-address/.config").string()));
}

TEST(Variables, DirectoryOfObjectsIsNotForUsersToSet) {
    const Output output;
    const Finished result = output.make({"B=" + output.path().string(), "clean"});
    EXPECT_EQ(result.status, 2);
    EXPECT_THAT(result.err, HasSubstr("B= belongs to diffconfig"));
    EXPECT_TRUE(std::filesystem::exists(output.path()));
}

TEST(Variables, TheOnesListedPass) {
    const Output output;
    ASSERT_EQ(output.load("").status, 0);
    const Finished result = output.make(
        {"TIME=5", "SET=SEED=1 DEVICE=cpu", "STRICT=1", "V=1", "TEXT=a b", "-n", "train"});
    EXPECT_EQ(result.status, 0) << result.err;
}

}  // namespace
}  // namespace knlp::test
