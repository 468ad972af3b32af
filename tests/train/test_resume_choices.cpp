// Threads, instruction set and routes of products: what a resumed run takes from its checkpoint,
// and what it is told otherwise.

#include "tiny_run.h"

#include "knlp/core/hash.h"
#include "knlp/core/host.h"
#include "knlp/core/json.h"
#include "knlp/model/runtime.h"
#include "src/train/checkpoint_store.h"
#include "tests/support/expect_error.h"
#include "tests/support/lower_isas.h"
#include "tests/support/scoped_environment.h"

#include <gmock/gmock-matchers.h>
#include <gtest/gtest.h>

#include <vector>

namespace {

using namespace knlp;
using namespace knlp::test;
namespace fs = std::filesystem;

train::TrainRequest allowing_changes() {
    train::TrainRequest request;
    request.allow_config_change = true;
    return request;
}

nlohmann::json state_of(const fs::path& run) {
    return read_json(newest(run) / "state.json");
}

nlohmann::json manifest_of(const fs::path& run) {
    return read_json(run / "manifest.json");
}

/// Sets a field of the newest checkpoint's state.json, and its size and hash in MANIFEST.json.
void edit_state(const fs::path& run, const char* field, const nlohmann::json& value) {
    const fs::path checkpoint = newest(run), file = checkpoint / "state.json";
    nlohmann::json state = read_json(file);
    state[field] = value;
    write_file_atomic(file, pretty_json(state));
    nlohmann::json manifest = read_json(checkpoint / "MANIFEST.json");
    for (nlohmann::json& entry : manifest["files"]) {
        if (entry["name"] != "state.json") continue;
        entry["bytes"] = static_cast<int64_t>(fs::file_size(file));
        entry["xxh3"] = train::hash_text(xxh3_file(file));
    }
    write_file_atomic(checkpoint / "MANIFEST.json", pretty_json(manifest));
    ASSERT_EQ(train::verify_checkpoint(checkpoint), "");
}

Values on_two_threads(const Values& changes) {
    Values all = {{"NUM_THREADS", "2"}, {"GEMM_ATEN", ""}};
    all.insert(changes.begin(), changes.end());
    return all;
}

/// Runs that measure routes, and remember them for this test alone.
struct MeasuredRuns {
    TinyRuns runs;
    ScopedEnvironment cache{"XDG_CACHE_HOME", runs.run("cache")};
};

/// Threads take whole sequences of the two, and share those of the three.
const std::vector<Values> kProducts = {
    {{"GEMM_NATIVE", "y"}, {"BATCH_SIZE", "2"}},
    {{"GEMM_NATIVE", "y"}, {"BATCH_SIZE", "3"}, {"MIXED_PRECISION", "y"}},
    {{"GEMM_AUTO", "y"}, {"BATCH_SIZE", "3"}},
    {{"GEMM_AUTO", "y"}, {"BATCH_SIZE", "2"}, {"MIXED_PRECISION", "y"}}};

/// Stops a run with dropout and accumulation in each of these steps, between two micro-batches.
void expect_same_run_when_stopped(const Values& changes, const std::vector<int64_t>& steps) {
    const MeasuredRuns measured;
    const TinyRuns& runs = measured.runs;
    const Values own = on_two_threads(changes);
    SCOPED_TRACE(nlohmann::json(changes).dump());
    runs.train("straight", own);
    EXPECT_EQ(manifest_of(runs.run("straight"))["threads"], 2);
    for (const int64_t step : steps) {
        const std::string name = "stopped-" + std::to_string(step);
        EXPECT_EQ(runs.train_until(name, step, step % 3, own), 75);
        EXPECT_EQ(runs.resume(name).status, 0);
        expect_same_run(runs.run("straight"), runs.run(name));
    }
}

TEST(ResumeOnTwoThreads, StoppedRunEqualsTheUninterruptedOne) {
    for (size_t i = 0; i < kProducts.size(); ++i)
        expect_same_run_when_stopped(kProducts[i], {std::vector<int64_t>{1, 4, 8, 5}[i]});
}

TEST(ResumeSlow, StoppedAtAnyStepOnTwoThreadsEqualsTheUninterruptedRun) {
    for (const Values& changes : kProducts)
        expect_same_run_when_stopped(changes, {1, 2, 3, 4, 5, 6, 7, 8, 9});
}

TEST(RouteOfARun, StandsInItsManifest) {
    const MeasuredRuns measured;
    const TinyRuns& runs = measured.runs;
    runs.train("a", on_two_threads({{"GEMM_AUTO", "y"}}));
    const std::string route = manifest_of(runs.run("a"))["gemm_route"];
    EXPECT_EQ(route, model::gemm_route());
    EXPECT_EQ(route, state_of(runs.run("a"))["gemm"]);
}

TEST(RouteOfARun, HasItsTimingInTheManifestMeasuredOrRemembered) {
    const MeasuredRuns measured;
    const TinyRuns& runs = measured.runs;
    runs.train("a", on_two_threads({{"GEMM_AUTO", "y"}}));
    const nlohmann::json first = manifest_of(runs.run("a")), timing = first["gemm_timing"];
    EXPECT_EQ(timing["route"], first["gemm_route"]);
    EXPECT_EQ(timing["shapes"].size(), 5u);  // four products of a block, and the head
    for (const char* place : {"block.forward", "block.weight", "head.input"})
        EXPECT_GT(timing["seconds"][place]["aten"].get<double>(), 0) << place;
    runs.train("b", on_two_threads({{"GEMM_AUTO", "y"}}));
    EXPECT_EQ(manifest_of(runs.run("b"))["gemm_timing"], timing);
    runs.train("c", on_two_threads({{"GEMM_NATIVE", "y"}}));
    EXPECT_TRUE(manifest_of(runs.run("c"))["gemm_timing"].is_null());
}

TEST(RouteOfARun, IsThatOfItsCheckpointAndNotMeasuredAgain) {
    const MeasuredRuns measured;
    const TinyRuns& runs = measured.runs;
    EXPECT_EQ(runs.train_until("a", 5, 0, on_two_threads({{"GEMM_AUTO", "y"}})), 75);
    const nlohmann::json timing = manifest_of(runs.run("a"))["gemm_timing"];
    EXPECT_FALSE(timing.is_null());
    std::string route = "native;block.weight=aten";
    if (state_of(runs.run("a"))["gemm"] == route) route = "aten;block.weight=native";
    edit_state(runs.run("a"), "gemm", route);
    EXPECT_EQ(runs.resume("a").status, 0);
    EXPECT_EQ(model::gemm_route(), route);
    EXPECT_EQ(state_of(runs.run("a"))["gemm"], route);
    EXPECT_EQ(manifest_of(runs.run("a"))["gemm_route"], route);
    EXPECT_EQ(manifest_of(runs.run("a"))["gemm_timing"], timing);
}

TEST(RouteOfARun, IsThePinnedOneAfterAnAllowedChange) {
    const MeasuredRuns measured;
    const TinyRuns& runs = measured.runs;
    EXPECT_EQ(runs.train_until("a", 5, 0, on_two_threads({{"GEMM_NATIVE", "y"}})), 75);
    expect_error(kConfig, {"GEMM_ATEN=y (was n)", "--allow-config-change"}, [&] {
        runs.resume("a", {{"GEMM_ATEN", "y"}});
    });
    EXPECT_EQ(runs.resume("a", {{"GEMM_ATEN", "y"}}, allowing_changes()).status, 0);
    EXPECT_EQ(model::gemm_route(), "aten");
    EXPECT_EQ(state_of(runs.run("a"))["gemm"], "aten");
    EXPECT_EQ(manifest_of(runs.run("a"))["gemm_route"], "aten");
}

TEST(RouteOfARun, StaysThePinnedOneWhenTheAttemptEndedBeforeItsFirstSave) {
    const MeasuredRuns measured;
    const TinyRuns& runs = measured.runs;
    EXPECT_EQ(runs.train_until("a", 5, 0, on_two_threads({{"GEMM_NATIVE", "y"}})), 75);
    struct Killed {};
    train::TrainRequest killed = allowing_changes();
    killed.on_micro_batch = [](int64_t, int64_t) { throw Killed(); };
    EXPECT_THROW(runs.resume("a", {{"GEMM_ATEN", "y"}}, killed), Killed);
    ASSERT_EQ(state_of(runs.run("a"))["gemm"], "native");
    EXPECT_EQ(runs.resume("a").status, 0);
    EXPECT_EQ(state_of(runs.run("a"))["gemm"], "aten");
}

/// Puts the instruction set back.
struct IsaGuard {
    const char* before = name_of(isa());
    ~IsaGuard() { force_isa(before); }
};

train::TrainRequest planned(const train::Choices& choices) {
    train::TrainRequest request;
    request.choices = choices;
    request.device_kind = "cpu";
    return request;
}

TEST(ChoicesOfAPlan, AreThoseOfANewRun) {
    const IsaGuard guard;
    const MeasuredRuns measured;
    const TinyRuns& runs = measured.runs;
    const std::string route = "native;block.weight=aten";
    const Values auto_batch = {{"HYPER_PARAM_AUTO", "y"}, {"TARGET_EFFECTIVE_BATCH", "6"},
                               {"BATCH_SIZE", ""},        {"GRADIENT_ACCUMULATION", ""},
                               {"GEMM_ATEN", ""},         {"NUM_THREADS", ""}};
    runs.train(
        "a", auto_batch,
        planned({.threads = 2, .isa = "scalar", .gemm = route, .micro = 2, .accumulation = 3}));
    const nlohmann::json manifest = manifest_of(runs.run("a"));
    EXPECT_EQ(manifest["threads"], 2);
    EXPECT_EQ(manifest["isa"], "scalar");
    EXPECT_EQ(manifest["gemm_route"], route);
    EXPECT_EQ(manifest["batch"]["micro"], 2);
    EXPECT_EQ(manifest["batch"]["accumulation"], 3);
}

TEST(ChoicesOfAPlan, AreRefusedWhereTheMachineCannot) {
    const IsaGuard guard;
    if (isa() == Isa::kAvx512) GTEST_SKIP() << "this machine has every instruction set";
    const TinyRuns runs;
    expect_error(kNotAvailable, {"avx512"}, [&] {
        runs.train(
            "a", {},
            planned(
                {.threads = 1, .isa = "avx512", .gemm = "native", .micro = 2, .accumulation = 3}));
    });
    EXPECT_FALSE(fs::exists(runs.run("a")));
}

TEST(InstructionSetOfARun, NamedByTheEnvironmentMustBeThatOfTheCheckpoint) {
    const IsaGuard guard;
    if (isa() == Isa::kScalar) GTEST_SKIP() << "this machine has the scalar kernels only";
    const TinyRuns runs;
    EXPECT_EQ(runs.train_until("a", 5, 0), 75);
    const std::string recorded = state_of(runs.run("a"))["isa"];
    const auto before = events(runs.run("a"));
    const ScopedEnvironment forced("KNLP_ISA", "scalar");
    expect_error(kConfig, {"KNLP_ISA=scalar (was " + recorded + ")", "--allow-config-change"},
                 [&] { runs.resume("a"); });
    EXPECT_EQ(events(runs.run("a")), before);
    EXPECT_EQ(runs.resume("a", {}, allowing_changes()).status, 0);
    EXPECT_EQ(isa(), Isa::kScalar);
    EXPECT_EQ(state_of(runs.run("a"))["isa"], "scalar");
}

TEST(InstructionSetOfARun, NamedAsInTheCheckpointChangesNothing) {
    const IsaGuard guard;
    const TinyRuns runs;
    EXPECT_EQ(runs.train_until("a", 5, 0), 75);
    const ScopedEnvironment same("KNLP_ISA", name_of(isa()));
    EXPECT_EQ(runs.resume("a").status, 0);
}

const Values kInBfloat16 = {{"MIXED_PRECISION", "y"}, {"GEMM_NATIVE", "y"}, {"GEMM_ATEN", ""}};

/// The last warnings of a run that was stopped, had this in its checkpoint, and went on.
std::string warned_after(const Values& changes, const nlohmann::json& recorded,
                         nlohmann::json& state) {
    const TinyRuns runs;
    EXPECT_EQ(runs.train_until("a", 5, 0, changes), 75);
    state = state_of(runs.run("a"))["bf16_dot_products"];
    EXPECT_EQ(manifest_of(runs.run("a"))["bf16_dot_products"], state);
    edit_state(runs.run("a"), "bf16_dot_products", recorded);
    EXPECT_EQ(runs.resume("a").status, 0);
    EXPECT_EQ(state_of(runs.run("a"))["bf16_dot_products"], state);
    return manifest_of(runs.run("a"))["warnings"].dump();
}

TEST(Bfloat16ProductsOfARun, ByOtherInstructionsThanTheCheckpointsAreWarnedOf) {
    nlohmann::json state;
    const bool here = bf16_dot_products();
    EXPECT_THAT(warned_after(kInBfloat16, !here, state),
                testing::HasSubstr("results may differ in the last bits"));
    EXPECT_EQ(state, here);
    EXPECT_THAT(warned_after({{"EVAL_PRECISION", "bfloat16"}}, !here, state),
                testing::HasSubstr("AVX512_BF16"));
    EXPECT_EQ(state, here);
}

TEST(Bfloat16ProductsOfARun, AsInTheCheckpointOrUnknownToItAreNotWarnedOf) {
    nlohmann::json state;
    for (const nlohmann::json& recorded :
         {nlohmann::json(bf16_dot_products()), nlohmann::json(nullptr)})
        EXPECT_THAT(warned_after(kInBfloat16, recorded, state),
                    testing::Not(testing::HasSubstr("AVX512_BF16")));
}

TEST(Bfloat16ProductsOfARun, AreNoMatterInFloat32) {
    nlohmann::json state;
    EXPECT_THAT(warned_after({}, !bf16_dot_products(), state),
                testing::Not(testing::HasSubstr("AVX512_BF16")));
    EXPECT_TRUE(state.is_null());
}

TEST(ResumeSlow, HoldsUnderLowerInstructionSets) {
    expect_to_pass_under_lower_isas("ResumeOnTwoThreads.*:Training.LossFallsOnTextWithStructure");
}

}  // namespace
