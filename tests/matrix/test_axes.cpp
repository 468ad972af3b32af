#include "src/matrix/axes.h"

#include "knlp/config/matrix.h"
#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_dir.h"

#include <gtest/gtest.h>

namespace knlp::matrix {
namespace {

using test::expect_error;

std::vector<std::string> labels(const Axis& axis) {
    std::vector<std::string> out;
    for (const AxisValue& value : axis.values) out.push_back(value.label);
    return out;
}

std::vector<Axis> parse(const std::string& text) {
    return parse_axes(text, "MATRIX_AXES");
}

TEST(Axes, ListsStayAsTheyAreWritten) {
    const std::vector<Axis> axes = parse("LEARNING_RATE=6e-4|1E-3|0.0020");
    ASSERT_EQ(axes.size(), 1u);
    EXPECT_EQ(axes[0].name, "LEARNING_RATE");
    EXPECT_EQ(labels(axes[0]), (std::vector<std::string>{"6e-4", "1E-3", "0.0020"}));
    EXPECT_EQ(axes[0].values[1].settings, (std::vector<Setting>{{"LEARNING_RATE", "1E-3"}}));
}

TEST(Axes, RangesAreCounted) {
    const std::vector<Axis> axes = parse("WEIGHT_DECAY=0.0:0.05:0.1; CONFIG_BATCH_SIZE=8:4:16 ;");
    ASSERT_EQ(axes.size(), 2u);
    EXPECT_EQ(labels(axes[0]), (std::vector<std::string>{"0.00", "0.05", "0.10"}));
    EXPECT_EQ(axes[1].name, "BATCH_SIZE");
    EXPECT_EQ(labels(axes[1]), (std::vector<std::string>{"8", "12", "16"}));
}

TEST(Axes, EmptyTextHasNone) {
    EXPECT_TRUE(parse("").empty());
    EXPECT_TRUE(parse(" ; ").empty());
}

TEST(Axes, OfAChoiceNameItsMembers) {
    const std::vector<Axis> axes = parse("LR_SCHEDULE=cosine|LR_SCHEDULE_LINEAR");
    ASSERT_EQ(axes.size(), 1u);
    EXPECT_EQ(axes[0].values[0].settings, (std::vector<Setting>{{"LR_SCHEDULE_COSINE", "y"}}));
    EXPECT_EQ(axes[0].values[1].settings, (std::vector<Setting>{{"LR_SCHEDULE_LINEAR", "y"}}));
    EXPECT_EQ(parse("GEMM_BACKEND=native|aten")[0].values[0].settings,
              (std::vector<Setting>{{"GEMM_NATIVE", "y"}}));
    expect_error(kConfig, {"LR_SCHEDULE=steps", "no member", "cosine, linear"},
                 [] { parse("LR_SCHEDULE=steps"); });
}

TEST(Axes, UnknownSymbolIsNamedWithNearOnes) {
    expect_error(kConfig, {"MATRIX_AXES", "LEARNING_RAET", "LEARNING_RATE"},
                 [] { parse("LEARNING_RAET=1|2"); });
}

TEST(Axes, ValuesHaveTheTypeOfTheirSymbol) {
    expect_error(kConfig, {"BATCH_SIZE=many"}, [] { parse("BATCH_SIZE=8|many"); });
    expect_error(kConfig, {"GPT2_DROPOUT=1.5", "[0,1)"}, [] { parse("GPT2_DROPOUT=0.1|1.5"); });
}

TEST(Axes, RefuseWhatIsNoAxis) {
    for (const char* text : {"LEARNING_RATE", "=1|2", "1|2"})
        expect_error(kUsage, {"SYMBOL=a|b"}, [&] { parse(text); });
    expect_error(kUsage, {"a value is missing"}, [] { parse("LEARNING_RATE=1e-3|"); });
    expect_error(kUsage, {"SEED is no axis", "MATRIX_SEEDS"}, [] { parse("SEED=1|2"); });
    expect_error(kUsage, {"LOG_LEVEL says nothing"}, [] { parse("LOG_LEVEL=INFO|DEBUG"); });
}

TEST(Axes, RefuseAValueThatIsThereTwice) {
    expect_error(kUsage, {"1e-3 and 0.001", "duplicates"},
                 [] { parse("LEARNING_RATE=1e-3|6e-4|0.001"); });
}

TEST(Axes, RefuseASymbolThatTwoAxesSet) {
    expect_error(kUsage, {"LEARNING_RATE is set by two axes"},
                 [] { require_distinct(parse("LEARNING_RATE=1e-3; LEARNING_RATE=6e-4")); });
    require_distinct(parse("LEARNING_RATE=1e-3; WEIGHT_DECAY=0.1"));
}

TEST(Axes, MenusKeepTheirSettings) {
    const Axis axis = axis_of({"optimizer", {{"adamw", {{"A", "y"}, {"B", "n"}}}}});
    EXPECT_EQ(axis.name, "optimizer");
    EXPECT_EQ(axis.values[0].settings, (std::vector<Setting>{{"A", "y"}, {"B", "n"}}));
}

TEST(SweepFile, HasAnAxisALine) {
    const test::TempDir dir;
    write_file_atomic(
        dir.file("sweep"),
        "# rates\nCONFIG_LEARNING_RATE=1e-3|3e-3\n\nCONFIG_WEIGHT_DECAY=0.0:0.1:0.2 # end\n");
    const std::vector<Axis> axes = read_sweep_file(dir.file("sweep"));
    ASSERT_EQ(axes.size(), 2u);
    EXPECT_EQ(labels(axes[0]), (std::vector<std::string>{"1e-3", "3e-3"}));
    EXPECT_EQ(labels(axes[1]), (std::vector<std::string>{"0.0", "0.1", "0.2"}));
}

TEST(SweepFile, ErrorsNameFileAndLine) {
    const test::TempDir dir;
    write_file_atomic(dir.file("sweep"), "\nCONFIG_NO_SUCH=1\n");
    expect_error(kConfig, {"sweep:2", "NO_SUCH"}, [&] { read_sweep_file(dir.file("sweep")); });
    write_file_atomic(dir.file("sweep"), "# nothing\n");
    expect_error(kUsage, {"no axis in it"}, [&] { read_sweep_file(dir.file("sweep")); });
    expect_error(kData, {"absent"}, [&] { read_sweep_file(dir.file("absent")); });
}

}  // namespace
}  // namespace knlp::matrix
