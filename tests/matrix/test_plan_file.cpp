#include "knlp/core/file.h"
#include "knlp/core/hash.h"
#include "knlp/core/json.h"
#include "knlp/matrix/plan.h"
#include "sample_plan.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_dir.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <filesystem>

namespace knlp::matrix {
namespace {

using nlohmann::json;
using test::sample_plan;

struct PlanFile : testing::Test {
    test::TempDir directory;
    Plan plan = sample_plan();
    std::filesystem::path file = directory.path() / kPlanFile;

    void write() { write_file_atomic(file, plan_text(plan)); }
    /// Puts `value` at `pointer` and signs the file again: damage that no hash shows.
    void forge(const char* pointer, const json& value) {
        write();
        json object = read_json(file);
        object[json::json_pointer(pointer)] = value;
        object.erase("sha256");
        object["sha256"] = sha256_hex(canonical_json(object));
        write_file_atomic(file, canonical_json(object));
    }
    void refused(std::initializer_list<std::string> parts) {
        test::expect_error(kData, parts, [&] { read_plan(directory.path()); });
    }
    void extend(std::vector<uint64_t> seeds) {
        Extension extension{
            .seeds = seeds, .created = "2026-12-01T00:00:00Z", .done_before = 4, .sha256 = ""};
        std::vector<Cell> cells;
        for (const uint64_t seed : seeds) {
            Cell cell = plan.cells[0];
            cell.index = std::ssize(plan.cells) + std::ssize(cells);
            cell.seed = seed;
            cell.id = cell.arm + "_s" + std::to_string(seed);
            cells.push_back(cell);
        }
        write_file_atomic(next_extension_file(directory.path(), plan),
                          extension_text(plan, extension, cells));
    }
};

TEST_F(PlanFile, ReadsBackAsItWasWritten) {
    plan.arms[1].estimate = {.wall_s = 12.5,
                             .memory_bytes = 1 << 20,
                             .wall_source = "measured",
                             .memory_source = "formula"};
    plan.excluded = {{{"6e-4"}, "R7", "the same as another"}};
    write();
    Plan back = read_plan(directory.path());
    EXPECT_EQ(plan_text(back), read_file(file));
    EXPECT_EQ(back.sha256, plan.sha256);
}

TEST_F(PlanFile, KeepsHowProductsOfBfloat16AreMadeAndMayNotSay) {
    plan.arms[0].choices.bf16_dot_products = true;
    write();
    EXPECT_EQ(read_plan(directory.path()).arms[0].choices.bf16_dot_products, true);
    json choices = read_json(file)["arms"][0]["choices"];
    choices.erase("bf16_dot_products");
    forge("/arms/0/choices", choices);
    EXPECT_EQ(read_plan(directory.path()).arms[0].choices.bf16_dot_products, std::nullopt);
}

TEST_F(PlanFile, OfEqualPlansHasEqualBytes) {
    Plan other = sample_plan();
    EXPECT_EQ(plan_text(plan), plan_text(other));
}

TEST_F(PlanFile, ThatWasEditedIsRefused) {
    write();
    std::string text = read_file(file);
    text.replace(text.find("\"seed\": 2"), 9, "\"seed\": 1");
    write_file_atomic(file, text);
    refused({"plan.json", "edited after it was made"});
}

TEST_F(PlanFile, ThatIsAbsentIsSaidToBe) {
    refused({"no matrix directory", "knlp matrix plan"});
}

TEST_F(PlanFile, WithACellOfNoArmIsRefused) {
    forge("/cells/1/arm", "other");
    refused({"'other', which there is not"});
}

TEST_F(PlanFile, WithACellTwiceIsRefused) {
    write();
    forge("/cells/1/id", plan.cells[0].id);
    refused({"is there twice"});
}

TEST_F(PlanFile, WithABaselineThatIsNoArmIsRefused) {
    forge("/baseline", "other");
    refused({"baseline 'other' is no arm"});
}

TEST_F(PlanFile, WhoseCellWouldLeaveTheDirectoryIsRefused) {
    for (const char* id : {"../x", "a/b", ".hidden", ""}) {
        forge("/cells/0/id", id);
        refused({"/cells/0/id", "no name of a directory"});
    }
}

TEST_F(PlanFile, WhoseBinaryWouldLieOutsideIsRefused) {
    forge("/builds/0/path", "bin/../../knlp");
    refused({"/builds/0/path", "inside the matrix directory"});
}

TEST_F(PlanFile, WithoutAnyMemberIsRefusedWithItsName) {
    write();
    const json whole = read_json(file);
    for (const auto& [name, value] : whole.items()) {
        json object = whole;
        object.erase(name);
        if (name != "sha256") {
            object.erase("sha256");
            object["sha256"] = sha256_hex(canonical_json(object));
        }
        write_file_atomic(file, canonical_json(object));
        refused({"lacks \"" + name + "\""});
    }
}

TEST_F(PlanFile, ExtendedHasTheAddedSeedsAndCells) {
    write();
    extend({3, 4});
    plan = read_plan(directory.path());
    EXPECT_EQ(plan.seeds, (std::vector<uint64_t>{1, 2, 3, 4}));
    ASSERT_EQ(plan.cells.size(), 6u);
    EXPECT_EQ(plan.cells[5].seed, 4u);
    ASSERT_EQ(plan.extensions.size(), 1u);
    EXPECT_EQ(plan.extensions[0].done_before, 4);
    extend({5});
    plan = read_plan(directory.path());
    EXPECT_EQ(plan.extensions.size(), 2u);
    EXPECT_EQ(plan.cells.back().seed, 5u);
}

TEST_F(PlanFile, OfAnotherExperimentDoesNotTakeAnExtension) {
    write();
    extend({3});
    plan.min_effect = 0.5;
    write();
    refused({"extension-1.json", "extends"});
}

TEST_F(PlanFile, ExtendedByASeedThereIsRefused) {
    write();
    extend({2});
    refused({"is there twice"});
}

}  // namespace
}  // namespace knlp::matrix
