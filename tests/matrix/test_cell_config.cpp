#include "src/matrix/cell_config.h"

#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "knlp/core/hash.h"
#include "tests/matrix/sample_plan.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_dir.h"

#include <gtest/gtest.h>

namespace knlp::matrix {
namespace {

using config::Symbols;
using test::expect_error;

/// A matrix directory with a base configuration, and a plan of it.
struct Planned {
    test::TempDir directory;
    Plan plan = test::sample_plan();

    Planned() {
        const Symbols base = Symbols::from_values({{"SEED", "9"}, {"GPT2_DROPOUT", "0.0"}});
        write_file_atomic(directory.file(kBaseConfigFile), base.dot_config());
        plan.config_sha256 = sha256_file(directory.file(kBaseConfigFile));
        for (Cell& cell : plan.cells) {
            const Symbols arm = base.with(overrides_of(plan.arm(cell.arm)));
            cell.config_sha256 = arm.experiment_hash(cell.seed);
        }
    }
    Symbols symbols(size_t cell) const {
        return cell_symbols(directory.path(), plan, plan.cells[cell]);
    }
};

TEST(CellSymbols, AreTheBaseTheArmAndTheSeed) {
    const Planned planned;
    const Symbols symbols = planned.symbols(3);  // second arm, seed 2
    EXPECT_EQ(symbols.text("LEARNING_RATE"), "1e-3");
    EXPECT_EQ(symbols.integer("SEED"), 2);
    EXPECT_EQ(symbols.text("GPT2_DROPOUT"), "0.0");
    EXPECT_EQ(symbols.origin("LEARNING_RATE"), config::Origin::kMatrix);
    EXPECT_EQ(symbols.origin("SEED"), config::Origin::kMatrix);
    EXPECT_EQ(symbols.origin("GPT2_DROPOUT"), config::Origin::kDotConfig);
}

TEST(CellSymbols, RefuseABaseThatWasEdited) {
    const Planned planned;
    write_file_atomic(planned.directory.file(kBaseConfigFile),
                      Symbols::from_values({{"GPT2_DROPOUT", "0.3"}}).dot_config());
    expect_error(kData, {"config.txt", "not the configuration that was planned with"},
                 [&] { planned.symbols(0); });
}

TEST(CellSymbols, RefuseAnExperimentThatIsNotThePlans) {
    Planned planned;
    planned.plan.cells[1].config_sha256 = std::string(64, '0');
    expect_error(kData, {planned.plan.cells[1].id, "not the planned one"},
                 [&] { planned.symbols(1); });
}

TEST(CellSymbols, BuildSymbolsOfAnArmMustBeThoseOfTheBinary) {
    Planned planned;
    if (Symbols::from_values({}).on("LTO")) GTEST_SKIP() << "this binary has what the arm wants";
    planned.plan.arms[0].settings.push_back({"LTO", "y"});
    expect_error(kConfig, {"LTO=y (binary: n)"}, [&] { planned.symbols(0); });
}

}  // namespace
}  // namespace knlp::matrix
