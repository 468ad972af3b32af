#include "src/train/checkpoint_store.h"

#include "knlp/core/file.h"
#include "knlp/core/hash.h"
#include "knlp/train/checkpoint.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_dir.h"

#include <gtest/gtest.h>

#include <fstream>

namespace {

using namespace knlp;
using namespace knlp::train;
namespace fs = std::filesystem;

void save(const fs::path& run, int64_t step, int64_t best_step = -1) {
    write_checkpoint(run, step, [&](const fs::path& into) {
        write_file_atomic(into / "model.safetensors", "model " + std::to_string(step));
        write_file_atomic(into / "optim.safetensors", "optimizer " + std::to_string(step));
        write_file_atomic(into / "state.json", "{\"best_step\":" + std::to_string(best_step) + "}");
        return KnownHashes{};
    });
}

std::vector<int64_t> steps(const fs::path& run) {
    std::vector<int64_t> found;
    for (const CheckpointInfo& info : list_checkpoints(run)) found.push_back(info.step);
    return found;
}

void flip(const fs::path& path, int64_t at) {
    std::string text = read_file(path);
    text.at(static_cast<size_t>(at)) ^= 1;
    std::ofstream(path, std::ios::binary) << text;
}

TEST(CheckpointName, OnlyCanonicalNamesCount) {
    EXPECT_EQ(checkpoint_name(1000), "step-00001000");
    EXPECT_EQ(checkpoint_step("step-00001000"), 1000);
    EXPECT_EQ(checkpoint_step("step-123456789"), 123456789);
    for (const char* name :
         {"step-", "step-1000", "step-00001000x", ".step-00001000.partial", "step--0000001", "x"})
        EXPECT_FALSE(checkpoint_step(name).has_value()) << name;
}

TEST(CheckpointStore, CompleteOnesAreListedByStepWithTheBestMarked) {
    test::TempDir run;
    save(run.path(), 20, 10);
    save(run.path(), 3);
    save(run.path(), 10);
    EXPECT_EQ(steps(run.path()), (std::vector<int64_t>{3, 10, 20}));
    EXPECT_TRUE(list_checkpoints(run.path())[1].best);
    EXPECT_FALSE(list_checkpoints(run.path())[2].best);
    std::vector<std::string> damaged;
    EXPECT_EQ(newest_checkpoint(run.path(), damaged)->step, 20);
    EXPECT_TRUE(newest_checkpoint("/nonexistent", damaged) == std::nullopt);
    EXPECT_TRUE(damaged.empty());
}

TEST(CheckpointStore, EveryFlippedByteIsFound) {
    test::TempDir run;
    save(run.path(), 5);
    const fs::path checkpoint = run.path() / "checkpoints" / "step-00000005";
    EXPECT_EQ(verify_checkpoint(checkpoint), "");
    for (const char* name : {"model.safetensors", "optim.safetensors", "state.json"})
        for (int64_t at = 0; at < static_cast<int64_t>(fs::file_size(checkpoint / name)); ++at) {
            flip(checkpoint / name, at);
            EXPECT_NE(verify_checkpoint(checkpoint).find(name), std::string::npos)
                << name << " byte " << at;
            flip(checkpoint / name, at);
        }
    EXPECT_EQ(verify_checkpoint(checkpoint), "");
}

TEST(CheckpointStore, EveryTruncationIsFoundAndListedNowhere) {
    test::TempDir run;
    save(run.path(), 5);
    const fs::path checkpoint = run.path() / "checkpoints" / "step-00000005";
    for (const char* name :
         {"model.safetensors", "optim.safetensors", "state.json", "MANIFEST.json"}) {
        const std::string whole = read_file(checkpoint / name);
        // The manifest ends with a line break, which JSON does not need.
        const bool manifest = name == std::string("MANIFEST.json");
        for (size_t length = 0; length + (manifest ? 1 : 0) < whole.size();
             length += manifest ? 7 : 1) {
            std::ofstream(checkpoint / name, std::ios::binary) << whole.substr(0, length);
            EXPECT_NE(verify_checkpoint(checkpoint), "") << name << " " << length;
            EXPECT_TRUE(list_checkpoints(run.path()).empty()) << name << " " << length;
        }
        std::ofstream(checkpoint / name, std::ios::binary) << whole;
    }
    EXPECT_EQ(verify_checkpoint(checkpoint), "");
}

TEST(CheckpointStore, OneOfTheFirstSchemaIsVerifiedBySha256) {
    test::TempDir run;
    save(run.path(), 5);
    const fs::path checkpoint = run.path() / "checkpoints" / "step-00000005";
    std::string files;
    for (const char* name : {"model.safetensors", "optim.safetensors", "state.json"})
        files += fmt::format("{}{{\"name\":\"{}\",\"bytes\":{},\"sha256\":\"{}\"}}",
                             files.empty() ? "" : ",", name, fs::file_size(checkpoint / name),
                             sha256_hex(read_file(checkpoint / name)));
    std::ofstream(checkpoint / "MANIFEST.json") << "{\"schema\":1,\"files\":[" << files << "]}";
    EXPECT_EQ(verify_checkpoint(checkpoint), "");
    flip(checkpoint / "model.safetensors", 2);
    EXPECT_NE(verify_checkpoint(checkpoint), "");
}

TEST(CheckpointStore, ManifestThatPointsElsewhereIsRefused) {
    test::TempDir run;
    save(run.path(), 5);
    const fs::path checkpoint = run.path() / "checkpoints" / "step-00000005";
    std::string manifest = read_file(checkpoint / "MANIFEST.json");
    manifest.replace(manifest.find("state.json"), 10, "../outside");
    std::ofstream(checkpoint / "MANIFEST.json") << manifest;
    EXPECT_NE(verify_checkpoint(checkpoint).find("../outside"), std::string::npos);
}

TEST(CheckpointStore, DamagedNewestFallsBackToTheOneBefore) {
    test::TempDir run;
    save(run.path(), 5);
    save(run.path(), 10);
    flip(run.path() / "checkpoints" / "step-00000010" / "model.safetensors", 2);
    std::vector<std::string> damaged;
    EXPECT_EQ(newest_checkpoint(run.path(), damaged)->step, 5);
    ASSERT_EQ(damaged.size(), 1u);
    EXPECT_NE(damaged[0].find("step-00000010 is damaged"), std::string::npos);
    clean_checkpoints(run.path(), 5);
    EXPECT_EQ(steps(run.path()), (std::vector<int64_t>{5}));
    EXPECT_TRUE(fs::exists(run.path() / "checkpoints" / "damaged-step-00000010"));
}

TEST(CheckpointStore, FailedSaveLeavesNothingAndTheOthersIntact) {
    test::TempDir run;
    save(run.path(), 5);
    test::expect_error(kRun, {"disk"}, [&] {
        write_checkpoint(run.path(), 10, [](const fs::path& into) -> KnownHashes {
            write_file_atomic(into / "model.safetensors", "half");
            fail_code(kRun, "E_IO", "the disk is full");
        });
    });
    EXPECT_EQ(steps(run.path()), (std::vector<int64_t>{5}));
    EXPECT_EQ(std::distance(fs::directory_iterator(run.path() / "checkpoints"), {}), 1);
}

TEST(CheckpointStore, FileThatCannotBeReadBackIsAFailureOfTheDisk) {
    test::TempDir run;
    save(run.path(), 5);
    try {
        write_checkpoint(run.path(), 5, [](const fs::path&) -> KnownHashes {
            fail(kData, "state.json: cannot read");
        });
        FAIL() << "no error";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), "E_IO");
        EXPECT_EQ(error.kind(), kRun);
    }
    EXPECT_EQ(steps(run.path()), (std::vector<int64_t>{5}));
    EXPECT_EQ(std::distance(fs::directory_iterator(run.path() / "checkpoints"), {}), 1);
}

TEST(CheckpointStore, SavingAStepAgainReplacesIt) {
    test::TempDir run;
    save(run.path(), 5, 1);
    save(run.path(), 5, 2);
    EXPECT_EQ(read_file(run.path() / "checkpoints/step-00000005/state.json"), "{\"best_step\":2}");
    EXPECT_EQ(std::distance(fs::directory_iterator(run.path() / "checkpoints"), {}), 1);
}

TEST(CheckpointStore, KeepsTheNewestAndTheBest) {
    test::TempDir run;
    for (int64_t step = 1; step <= 6; ++step) save(run.path(), step, 2);
    prune_checkpoints(run.path(), 2, 2);
    EXPECT_EQ(steps(run.path()), (std::vector<int64_t>{2, 5, 6}));
    EXPECT_EQ(std::distance(fs::directory_iterator(run.path() / "checkpoints"), {}), 3);
}

TEST(CheckpointStore, NothingIsDeletedWhenTheNewestDoesNotVerify) {
    test::TempDir run;
    for (int64_t step = 1; step <= 4; ++step) save(run.path(), step);
    flip(run.path() / "checkpoints" / "step-00000004" / "optim.safetensors", 0);
    prune_checkpoints(run.path(), 1, -1);
    EXPECT_EQ(steps(run.path()).size(), 4u);
}

TEST(CheckpointStore, LeftoversOfKilledSavesAreRemoved) {
    test::TempDir run;
    save(run.path(), 5);
    const fs::path parent = run.path() / "checkpoints";
    fs::create_directory(parent / ".step-00000010.partial");
    std::ofstream(parent / ".step-00000010.partial" / "model.safetensors") << "half";
    fs::create_directory(parent / ".step-00000003.replaced");
    clean_checkpoints(run.path(), 5);
    EXPECT_EQ(std::distance(fs::directory_iterator(parent), {}), 1);
}

TEST(CheckpointStore, CheckpointBeingReplacedWhenKilledIsBroughtBack) {
    test::TempDir run;
    save(run.path(), 5);
    const fs::path parent = run.path() / "checkpoints";
    fs::rename(parent / "step-00000005", parent / ".step-00000005.replaced");
    clean_checkpoints(run.path(), 5);
    EXPECT_EQ(steps(run.path()), (std::vector<int64_t>{5}));
}

}  // namespace
